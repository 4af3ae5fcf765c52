"""The error object on the wire."""

import msgspec

from schemas.errors import ErrorObject, ErrorResponse
from tests.template.factories import ErrorObjectFactory, ErrorResponseFactory


def test_all_four_keys_are_sent_and_null_where_there_is_nothing_to_say() -> None:
    error = ErrorResponse(ErrorObject("Sorry.", "server_error"))

    assert msgspec.to_builtins(error) == {
        "error": {"message": "Sorry.", "type": "server_error", "param": None, "code": None}
    }


def test_any_error_has_all_four_keys() -> None:
    for error in ErrorObjectFactory.batch(10):
        assert list(msgspec.to_builtins(error)) == ["message", "type", "param", "code"]


def test_what_is_sent_can_be_read_again() -> None:
    for error in ErrorResponseFactory.batch(10):
        assert msgspec.json.decode(msgspec.json.encode(error), type=ErrorResponse) == error
