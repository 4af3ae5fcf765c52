"""A request: what it declares is checked, and nothing that was sent is lost."""

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from schemas.chat import ChatCompletionRequest, Json
from tests.factories import ChatCompletionRequestFactory

BODY: Json = {"model": "test", "messages": [{"role": "user", "content": "Hello!", "mine": 1}]}


def test_a_body_goes_through_a_request_unchanged() -> None:
    body = BODY | {"tools": [{"type": "function", "mine": 1}], "temperature": None, "extra": {"extra": 1}, "top_k": 1}

    assert ChatCompletionRequest.from_body(body).to_body() == body


def test_any_request_goes_through_a_body_unchanged() -> None:
    for request in ChatCompletionRequestFactory.batch(20):
        body: Any = msgspec.to_builtins(request)

        assert ChatCompletionRequest.from_body(body).to_body() == body


def test_a_field_that_was_left_out_is_unset_and_one_that_is_null_is_not() -> None:
    request = ChatCompletionRequest.from_body(BODY | {"top_p": None})

    assert (request.temperature, request.top_p) == (UNSET, None)
    assert request.to_body() == BODY | {"top_p": None}


def test_fields_that_are_not_declared_are_extra() -> None:
    request = ChatCompletionRequest.from_body(BODY | {"top_k": 40, "temperature": 1})

    assert request.extra == {"top_k": 40}


def test_a_request_made_by_hand_has_no_extra_fields() -> None:
    request = ChatCompletionRequest(model="test", messages=[{"role": "user"}])

    assert request.extra == {}
    assert request.to_body() == {"model": "test", "messages": [{"role": "user"}]}


@pytest.mark.parametrize(
    ("options", "asked"),
    [({}, False), ({"include_usage": True}, True), ({"include_usage": False}, False), ({"include_usage": None}, False)],
)
def test_usage_is_asked_for_by_an_option(options: Json, asked: bool) -> None:
    assert ChatCompletionRequest.from_body(BODY | {"stream_options": options}).include_usage is asked


@pytest.mark.parametrize("fields", [{}, {"stream_options": None}])
def test_usage_is_not_asked_for_without_options(fields: Json) -> None:
    assert ChatCompletionRequest.from_body(BODY | fields).include_usage is False


@pytest.mark.parametrize("role", ["user", "system", "assistant", "tool", "developer", "function", "critic", "a-b_1"])
def test_a_role_is_any_word_in_lower_case(role: str) -> None:
    request = ChatCompletionRequest.from_body(BODY | {"messages": [{"role": role}]})

    assert request.messages == [{"role": role}]


def test_a_wrong_body_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.messages\[0\]"):
        ChatCompletionRequest.from_body({"model": "test", "messages": [{}]})
