"""How deep a body may be nested, and how many messages it may have."""

from typing import Any

import pytest

from tests.conftest import Serve, ask, error_of, returning


def nested(depth: int, inner: Any = None) -> Any:
    """A value of so many levels, arrays and objects in turn."""
    return inner if depth == 0 else nested(depth - 1, [inner] if depth % 2 else {"a": inner})


@pytest.mark.parametrize(("limit", "depth"), [(3, 3), (4, 4), (50, 50)])
def test_a_body_as_deep_as_allowed_is_taken_and_a_deeper_one_is_not(serve: Serve, limit: int, depth: int) -> None:
    client = serve(returning("Hello!"), max_json_depth=limit)

    assert ask(client, mine=nested(depth - 1)).status_code == 200  # the body is a level itself
    refusal = ask(client, mine=nested(depth))
    assert refusal.status_code == 400
    assert error_of(refusal)["message"] == f"The body is nested too deeply: at most {limit} levels."


def test_brackets_in_a_text_are_no_levels(serve: Serve) -> None:
    assert ask(serve(returning("Hello!"), max_json_depth=3), content='{"a":[' * 100).status_code == 200


def test_many_siblings_are_no_levels(serve: Serve) -> None:
    assert ask(serve(returning("Hello!"), max_json_depth=4), mine=[{"a": []}] * 1000).status_code == 200


def test_a_body_is_as_deep_as_a_tool_may_be_unless_set_otherwise(serve: Serve) -> None:
    client = serve(returning("Hello!"))

    assert ask(client, mine=nested(99)).status_code == 200
    assert ask(client, mine=nested(100)).status_code == 400


def test_a_depth_of_0_is_no_limit(serve: Serve) -> None:
    assert ask(serve(returning("Hello!"), max_json_depth=0), mine=nested(200)).status_code == 200


def test_as_many_messages_as_allowed_are_taken_and_no_more(serve: Serve) -> None:
    client = serve(returning("Hello!"), max_messages=3)
    message = {"role": "user", "content": "Hello!"}

    assert ask(client, messages=[message] * 3).status_code == 200
    refusal = ask(client, messages=[message] * 4)
    assert refusal.status_code == 400
    assert error_of(refusal) == {
        "message": "There are 4 messages: at most 3 are taken.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": None,
    }


def test_there_may_be_any_number_of_messages_unless_set_otherwise(serve: Serve) -> None:
    assert ask(serve(returning("Hello!")), messages=[{"role": "user"}] * 10_000).status_code == 200
