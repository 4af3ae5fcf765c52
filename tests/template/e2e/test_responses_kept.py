"""Responses that are kept: by whom they can be read, for how long, and where."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseItemList

from tests.template.e2e.clients import client_of
from tests.template.e2e.patience import PATIENCE, eventually
from tests.template.e2e.redis import Redis, needs_redis
from tests.template.e2e.server import Server, free_port

KEYS = {"API_KEYS": "sk-mine, sk-yours"}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of two keys."""
    with Server.with_own_models(tmp_path_factory.mktemp("closed") / "log", **KEYS) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1", ""])
def test_a_response_is_kept_until_it_is_deleted(server: Server, path: str, stream: bool) -> None:
    with client_of(server, path) as client:
        if stream:
            with client.responses.stream(model="generator", input="Hello!") as events:
                made: Response = events.get_final_response()
        else:
            made = client.responses.create(model="generator", input="Hello!")
        kept = client.responses.retrieve(made.id)
        assert (kept.id, kept.output_text, kept.status) == (made.id, "Hello, world", "completed")
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError, match="not found"):
            client.responses.retrieve(made.id)


def test_what_was_deleted_is_told(http: httpx.Client) -> None:
    made = http.post("/v1/responses", json={"model": "function", "input": "Hello!"}).json()
    answer = http.delete(f"/v1/responses/{made['id']}")
    assert (answer.status_code, answer.json()) == (200, {"id": made["id"], "object": "response", "deleted": True})


def test_a_conversation_goes_on(client: OpenAI) -> None:
    first = client.responses.create(model="function", input="One", instructions="Be brief.")
    second = client.responses.create(model="request", input="Two", previous_response_id=first.id)
    third = client.responses.create(model="request", input="Three", previous_response_id=second.id, store=False)

    assert '{"role": "user", "content": "One"}' in second.output_text
    assert "Be brief." not in second.output_text
    items = client.responses.input_items.list(second.id, order="asc").data
    assert [item.type for item in items] == ["message", "message", "message"]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(third.id)


def test_the_messages_of_a_conversation_that_goes_on_are_those_of_a_chat(http: httpx.Client) -> None:
    first = http.post("/v1/responses", json={"model": "echo-function", "input": "One"}).json()
    body = {"model": "request", "input": "Two", "previous_response_id": first["id"]}
    seen = Response.model_validate(http.post("/v1/responses", json=body).json()).output_text

    assert '[{"role": "user", "content": "One"}, {"role": "assistant", "content": "One"}, ' in seen
    assert '{"role": "user", "content": "Two"}]' in seen


@pytest.mark.parametrize("stream", [False, True])
def test_a_previous_response_that_is_not_there_is_a_404(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="function", input="Hello!", previous_response_id="resp_1", stream=stream)
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")


def test_the_items_come_in_pages(http: httpx.Client) -> None:
    items = [{"role": "user", "content": str(number)} for number in range(5)]
    made = http.post("/v1/responses", json={"model": "function", "input": items}).json()
    path = f"/v1/responses/{made['id']}/input_items"

    newest = http.get(path, params={"limit": 2})
    page = ResponseItemList.model_validate_json(newest.text, strict=True)
    rest = http.get(path, params={"after": page.last_id, "limit": 3}).json()

    assert [item["content"][0]["text"] for item in newest.json()["data"]] == ["4", "3"]
    assert (page.has_more, page.first_id, page.last_id) == (True, page.data[0].id, page.data[-1].id)
    assert [item["content"][0]["text"] for item in rest["data"]] == ["2", "1", "0"]
    assert rest["has_more"] is False
    for wrong in ({"limit": 0}, {"order": "up"}, {"after": "msg_1"}):
        answer = http.get(path, params=wrong)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, *wrong)


def test_an_item_that_is_kept_may_be_referred_to(http: httpx.Client) -> None:
    made = http.post("/v1/responses", json={"model": "function", "input": "Hello!"}).json()
    reference = {"type": "item_reference", "id": made["output"][0]["id"]}
    body = {"model": "request", "input": [reference, {"role": "user", "content": "And?"}]}

    seen = Response.model_validate(http.post("/v1/responses", json=body).json()).output_text
    assert '{"role": "assistant", "content": "Hello, world"}' in seen

    missing = http.post("/v1/responses", json=body | {"input": [{**reference, "id": "msg_1"}]})
    assert (missing.status_code, missing.json()["error"]["param"]) == (404, "input")


def test_an_item_of_the_conversation_that_goes_on_is_there_once(http: httpx.Client) -> None:
    made = http.post("/v1/responses", json={"model": "function", "input": "Hello!"}).json()
    item = made["output"][0]

    for again in ({"type": "item_reference", "id": item["id"]}, item):
        body = {"model": "function", "input": [again], "previous_response_id": made["id"]}
        refused = http.post("/v1/responses", json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "input")
        assert item["id"] in refused.json()["error"]["message"]


def test_a_conversation_goes_on_without_a_word(http: httpx.Client) -> None:
    made = http.post("/v1/responses", json={"model": "echo-function", "input": "One"}).json()
    again = http.post("/v1/responses", json={"model": "request", "previous_response_id": made["id"]})
    assert '{"role": "assistant", "content": "One"}]' in Response.model_validate(again.json()).output_text


def test_no_key_can_read_or_go_on_from_the_responses_of_another(closed: Server) -> None:
    with client_of(closed, key="sk-mine") as mine, client_of(closed, key="sk-yours") as yours:
        made = mine.responses.create(model="function", input="Hello!")
        assert mine.responses.retrieve(made.id).id == made.id
        for attempt in (
            lambda: yours.responses.retrieve(made.id),
            lambda: yours.responses.delete(made.id),
            lambda: yours.responses.input_items.list(made.id),
            lambda: yours.responses.create(model="function", input="And?", previous_response_id=made.id),
        ):
            with pytest.raises(openai.NotFoundError):
                attempt()
        assert mine.responses.retrieve(made.id).id == made.id


def test_nothing_is_kept_unless_the_settings_say_so(tmp_path: Path) -> None:
    with Server.with_own_models(tmp_path / "log", STORE_RESPONSES="false") as server, client_of(server) as client:
        made = client.responses.create(model="function", input="Hello!", store=True)
        assert made.to_dict()["store"] is False
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)


def test_a_response_is_kept_whole_although_its_client_left(tmp_path: Path, key: str) -> None:
    with Server.with_own_models(tmp_path / "log", FINISH_WITHOUT_CLIENT="true") as server, client_of(server) as client:
        with client.responses.create(model="gated-async-generator", input=key, stream=True) as stream:
            created = next(iter(stream))
        assert created.type == "response.created"
        for _ in range(5):
            assert server.models()
        server.open_gate(key)
        path = f"{server.url}/v1/responses/{created.response.id}"
        kept = eventually(lambda: httpx.get(path), lambda response: response.status_code == 200)

    assert Response.model_validate(kept.json()).output_text == "first second"


@needs_redis
def test_servers_that_share_a_redis_share_responses_as_long_as_it_answers(tmp_path: Path) -> None:
    with Redis(tmp_path, free_port()) as redis:
        settings = {"REDIS_URL": redis.url, "RESPONSES_EXPIRE": "100"}
        with (
            Server.with_own_models(tmp_path / "one", **settings) as one,
            Server.with_own_models(tmp_path / "two", **settings) as two,
            client_of(one) as first,
            client_of(two) as second,
        ):
            made = first.responses.create(model="function", input="Hello!")
            assert second.responses.retrieve(made.id).output_text == "Hello, world"
            redis.stop()
            unkept = first.responses.create(model="function", input="Hello!", timeout=PATIENCE)
            assert unkept.output_text == "Hello, world"
            with pytest.raises(openai.InternalServerError) as caught:
                first.responses.retrieve(made.id)
            assert caught.value.status_code == 503
        assert "A response could not be kept" in one.log
