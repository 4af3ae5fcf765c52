"""Responses that are kept: who can read and continue them, for how long, and where they are."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from litestar.stores.base import Store
from openai.types.responses import ResponseItemList
from redis.asyncio import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

import app.responses.pausing
from app.app import create_app
from app.keys import Keys
from app.services import Hooks
from app.settings import Secret, Settings, SettingsError
from schemas.chat import Json
from tests.conftest import Client, Serve, error_of, returning, until, yielding
from tests.template.chat.scripted import Scripted
from tests.template.e2e.redis import Redis as RedisServer
from tests.template.e2e.redis import needs_redis
from tests.template.responses.conftest import repeat
from tests.template.responses.events import checked, create, events_of, respond
from tests.test_logs import lines_of

KEPT = "/v1/responses"


def is_kept(client: Client, response: Json) -> bool:
    return client.get(f"{KEPT}/{response['id']}").status_code == 200


@pytest.mark.parametrize("path", [KEPT, "/responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_kept_as_it_was_sent_until_it_is_deleted(client: Client, path: str, stream: bool) -> None:
    made = events_of(client)[-1]["response"] if stream else respond(client)
    kept = f"{path}/{made['id']}"

    assert client.get(kept).json() == made
    assert client.delete(kept).json() == {"id": made["id"], "object": "response", "deleted": True}
    for missing in (client.get(kept), client.delete(kept), client.get(f"{kept}/input_items")):
        assert (missing.status_code, "not found" in error_of(missing)["message"]) == (404, True)


def test_a_conversation_goes_on_without_the_instructions_and_even_without_input(
    client: Client, service: Scripted
) -> None:
    first = respond(client, "One", instructions="Be brief.")
    second = respond(client, "Two", previous_response_id=first["id"])
    third = client.post(KEPT, json={"model": "test", "previous_response_id": second["id"]}).json()

    assert third["previous_response_id"] == second["id"]
    assert [(message["role"], message["content"]) for message in service.messages] == [
        *(("user", "One"), ("assistant", "One"), ("user", "Two"), ("assistant", "Two"))
    ]


def test_the_items_come_in_pages(client: Client) -> None:
    made = respond(client, [{"role": "user", "content": str(number)} for number in range(5)])
    path = f"{KEPT}/{made['id']}/input_items"

    newest = client.get(path, params={"limit": 2})
    page = ResponseItemList.model_validate_json(newest.text, strict=True)
    rest = client.get(path, params={"after": page.last_id, "limit": 3}).json()
    oldest = client.get(path, params={"order": "asc"}).json()

    assert (page.has_more, page.first_id, page.last_id) == (True, page.data[0].id, page.data[-1].id)
    assert rest["has_more"] is oldest["has_more"] is False
    for data, texts in ((newest.json()["data"], "43"), (rest["data"], "210"), (oldest["data"], "01234")):
        assert "".join(item["content"][0]["text"] for item in data) == texts
    for wrong in ({"limit": 0}, {"limit": 101}, {"order": "up"}, {"after": "msg_1"}):
        answer = client.get(path, params=wrong)
        assert (answer.status_code, error_of(answer)["param"]) == (400, *wrong)


def test_an_item_that_is_kept_may_be_referred_to(client: Client, service: Scripted) -> None:
    made = respond(client, "One")
    reference = {"type": "item_reference", "id": made["output"][0]["id"]}

    for each in (reference, {**reference, "type": None}):  # an id alone is one as well
        respond(client, [each, {"role": "user", "content": "And?"}])
        assert service.messages == [{"role": "assistant", "content": "One"}, {"role": "user", "content": "And?"}]

    missing = create(client, [{**reference, "id": "msg_1"}])
    assert (missing.status_code, error_of(missing)["param"]) == (404, "input")


def test_an_item_of_the_conversation_that_goes_on_is_there_once(client: Client) -> None:
    made = respond(client)
    item = made["output"][0]
    reference = {"type": "item_reference", "id": item["id"]}

    for again, fields in (
        *(([item], {"previous_response_id": made["id"]}), ([reference], {"previous_response_id": made["id"]})),
        ([reference, reference], {}),
    ):
        refused = create(client, again, **fields)
        assert (refused.status_code, error_of(refused)["param"]) == (400, "input")
        assert item["id"] in error_of(refused)["message"]


def test_the_names_of_other_entries_of_the_store_are_no_ids(client: Client) -> None:
    name = f"{respond(client)['id']}:input"
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
        assert client.request(method, f"{KEPT}/{name}{path}").status_code == 404
    assert error_of(create(client, previous_response_id=name))["code"] == "previous_response_not_found"


def test_no_key_can_read_or_continue_the_responses_of_another(serve: Serve) -> None:
    client = serve(returning("Hi"), api_keys=Keys.parse("sk-mine, sk-yours"))
    client.headers["authorization"] = "Bearer sk-mine"
    made = respond(client)
    path = f"{KEPT}/{made['id']}"
    reference = [{"type": "item_reference", "id": made["output"][0]["id"]}]

    client.headers["authorization"] = "Bearer sk-yours"
    refused = [client.get(path), client.delete(path), client.get(f"{path}/input_items"), create(client, reference)]
    assert [answer.status_code for answer in refused] == [404] * 4
    assert create(client, previous_response_id=made["id"]).status_code == 400

    client.headers["authorization"] = "Bearer sk-mine"
    assert client.get(path).json() == made


def test_nothing_is_kept_unless_the_settings_say_so(serve: Serve) -> None:
    client = serve(returning("Hi"), store_responses=False)
    made = respond(client, store=True)
    assert (made["store"], is_kept(client, made)) == (False, False)


def test_a_response_is_forgotten_after_the_time_that_the_settings_say(serve: Serve) -> None:
    client = serve(returning("Hi"), responses_expire=1)
    made = respond(client)
    until(lambda: not is_kept(client, made))


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
def stored(request: pytest.FixtureRequest) -> Iterator[Json]:
    """The settings that keep responses in memory, or in Redis."""
    if request.param == "memory":
        yield {}
        return
    with RedisServer() as redis:
        yield {"redis_url": Secret(redis.url)}


class Reads(list[str]):
    """What is read from the store of an application: `response` or `input`, in order."""

    def __init__(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        store: Any = type(client.app.stores.get("responses"))
        read = store.get

        def get(store: Store, key: str) -> Any:
            self.append("input" if key.endswith(":input") else "response")
            return read(store, key)

        monkeypatch.setattr(store, "get", get)


TOO_LONG = (400, "context_length_exceeded", "input")


@pytest.mark.parametrize(
    ("limits", "text", "turns"),
    [({"max_messages": 4}, "Hi", 2), ({"max_body_size": 3500}, "x" * 1000, 1)],
    ids=["messages", "bytes"],
)
def test_a_conversation_is_as_long_as_a_request_may_be(
    serve: Serve, stored: Json, monkeypatch: pytest.MonkeyPatch, limits: Json, text: str, turns: int
) -> None:
    client = serve(service := Scripted(repeat), **limits, **stored)
    made = respond(client, text)
    for _ in range(turns - 1):
        made = respond(client, text, previous_response_id=made["id"])
    asked, reads = service.messages, Reads(client, monkeypatch)

    refused = create(client, text, previous_response_id=made["id"])
    error = error_of(refused)
    assert (refused.status_code, error["code"], error["param"]) == TOO_LONG
    assert (reads, service.messages is asked) == (["response"], True)
    assert is_kept(client, made)


def test_responses_that_are_referred_to_count_as_parts_of_a_conversation(serve: Serve, stored: Json) -> None:
    client = serve(Scripted(repeat), max_body_size=5000, **stored)
    references = [{"type": "item_reference", "id": respond(client, "x" * 2000)["output"][0]["id"]} for _ in range(2)]

    respond(client, references[:1])
    error = error_of(refused := create(client, references))
    assert (refused.status_code, error["code"], error["param"]) == TOO_LONG


def test_items_are_counted_and_the_model_is_looked_up_before_anything_is_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(Scripted(repeat), max_messages=2)
    made, reads = respond(client), Reads(client, monkeypatch)

    for fields, expected in (
        ({"input": [{"role": "user", "content": "Hi"}] * 3}, TOO_LONG),
        ({"input": "Hi"}, (404, "model_not_found", "model")),
    ):
        answer = client.post(KEPT, json={"model": "none", "previous_response_id": made["id"], **fields})
        error = error_of(answer)
        assert (answer.status_code, error["code"], error["param"]) == expected
    assert reads == []


def test_a_hook_may_still_replace_a_model_that_is_not_listed(serve: Serve) -> None:
    def rename(request: Any) -> None:
        request.model = "test"

    client = serve(Scripted(repeat), hooks=Hooks(pre_hook=rename))
    assert client.post(KEPT, json={"model": "alias", "input": "Hi"}).json()["status"] == "completed"


def test_only_what_is_asked_for_is_read(serve: Serve, monkeypatch: pytest.MonkeyPatch, stored: Json) -> None:
    client = serve(Scripted(repeat), **stored)
    sent = create(client, [{"role": "user", "content": str(number)} for number in range(3)])
    path, reads = f"{KEPT}/{sent.json()['id']}", Reads(client, monkeypatch)

    assert (client.get(path).content, reads) == (sent.content, ["response"])
    assert client.get(f"{path}/input_items", params={"limit": 1}).json()["data"][0]["content"][0]["text"] == "2"
    assert (client.delete(path).status_code, reads) == (200, ["response", "input", "response"])
    assert client.get(f"{path}/input_items").status_code == 404


def test_no_key_drives_out_the_responses_of_a_key_that_has_fewer(serve: Serve) -> None:
    client = serve(Scripted(repeat), api_keys=Keys.parse("sk-few, sk-many"), responses_memory=50_000)

    def responses_of(key: str, count: int) -> list[Json]:
        client.headers["authorization"] = f"Bearer {key}"
        return [respond(client, "x" * 2000) for _ in range(count)]

    def kept_of(key: str, made: list[Json]) -> list[bool]:
        client.headers["authorization"] = f"Bearer {key}"
        return [is_kept(client, response) for response in made]

    many = responses_of("sk-many", 15)
    few = responses_of("sk-few", 2)  # there is room for them, although the other key has taken all
    assert kept_of("sk-few", few) == [True, True]
    many += responses_of("sk-many", 15)
    assert kept_of("sk-few", few) == [True, True]
    assert (kept := kept_of("sk-many", many)) == sorted(kept)
    assert (kept[0], kept[-1]) == (False, True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("size", "is_small"), [(10_000, False), (4500, False), (1000, True)])
def test_a_response_that_is_too_large_to_keep_says_so(serve: Serve, stream: bool, size: int, is_small: bool) -> None:
    client = serve(Scripted(repeat), responses_memory=10_000)  # of 4,500 the text alone has room, but not its input too
    made = events_of(client, "x" * size)[-1]["response"] if stream else respond(client, "x" * size)
    assert (made["store"], is_kept(client, made)) == (is_small, is_small)


@pytest.fixture
def store(serve: Serve) -> Store:
    """The store of an application in which two values of 10,000 bytes have room, but not three."""
    store: Store = serve(returning("Hi"), responses_memory=25_000).app.stores.get("responses")
    return store


VALUE = b"x" * 10_000


@pytest.mark.anyio
async def test_the_store_has_a_value_until_it_is_deleted(store: Store) -> None:
    await store.set("a", "one")
    await store.set("b", VALUE, 100)
    assert (await store.get("a"), await store.exists("b"), await store.expires_in("a")) == (b"one", True, -1)
    assert 0 < (await store.expires_in("b") or 0) <= 100
    await store.delete("a")
    assert (await store.get("a"), await store.exists("a"), await store.expires_in("a")) == (None, False, None)
    await store.delete_all()
    assert not await store.exists("b")


EXPIRED = timedelta(milliseconds=1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        pytest.param([("a", VALUE), ("b", VALUE), ("c", VALUE)], "bc", id="the oldest makes room"),
        pytest.param([("a", VALUE), ("b", VALUE), ("a", None), ("c", VALUE)], "ac", id="it was read"),
        pytest.param([("a", VALUE), ("b", VALUE), ("a", VALUE), ("c", VALUE)], "ac", id="it was written again"),
        pytest.param([("a", VALUE), ("b", VALUE * 3)], "a", id="too large a value drives nothing out"),
        pytest.param([("a", VALUE), ("a", VALUE * 3)], "", id="too large a value replaces the one before it"),
        pytest.param([("a", VALUE), ("b", EXPIRED), ("c", VALUE)], "ac", id="an expired value makes room first"),
        pytest.param([("a", EXPIRED)], "", id="an expired value is gone"),
    ],
)
async def test_the_store_makes_room(store: Store, steps: list[tuple[str, bytes | timedelta | None]], kept: str) -> None:
    for key, step in steps:
        match step:
            case bytes():
                with suppress(ValueError):  # it is too large
                    await store.set(key, step)
            case timedelta():
                await store.set(key, VALUE, step)
                await asyncio.sleep(2 * step.total_seconds())
            case None:
                await store.get(key)
    assert "".join([key for key in "abc" if await store.exists(key)]) == kept


def test_a_wrong_address_of_redis_is_told_without_its_password() -> None:
    with pytest.raises(SettingsError, match="is no address of a Redis") as caught:
        create_app(settings=Settings(redis_url=Secret("http://:hunter2@localhost")))
    assert "hunter2" not in str(caught.value)


def test_the_log_names_the_model_and_the_error_of_a_response_that_cannot_be_kept(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    client = serve(Scripted(repeat), redis_url=Secret("redis://127.0.0.1:1"))
    refused = client.post("/v1/responses", json={"model": "test", "input": "Hello!", "background": True})
    (line,) = lines_of(capsys)
    assert refused.status_code == line["status"] == 503
    assert (line["model"], line["ended"], line["error"]) == ("test", "rejected", "overloaded")


@needs_redis
def test_a_connection_to_redis_that_has_died_is_renewed(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer() as redis, closing(redis.client()) as other:
        client = serve(Scripted(repeat), redis_url=Secret(redis.url))
        made = respond(client)
        for _ in range(2):
            other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            made = respond(client, previous_response_id=made["id"])
            assert made["store"]
            other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            assert client.get(f"{KEPT}/{made['id']}").json() == made
    assert "Redis" not in caplog.text


def test_a_redis_that_does_not_answer_is_neither_waited_for_nor_logged_by_each_request(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    waits: list[str] = []
    is_silent = True

    async def execute_command(_: object, name: str, *arguments: object, **options: object) -> int | None:
        waits.append(name)
        if is_silent:
            raise RedisTimeoutError
        return 1 if name == "EXISTS" else None

    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(app.responses.pausing, "time", clock)
    monkeypatch.setattr(Redis, "execute_command", execute_command)
    client = serve(Scripted(repeat), redis_url=Secret("redis://localhost"))

    def statuses() -> list[int]:
        made = client.post("/v1/responses", json={"model": "test", "input": "Hello!"})
        return [made.status_code, client.get("/v1/responses/resp_1").status_code]

    assert (statuses(), statuses(), waits) == ([200, 503], [200, 503], ["SET"])
    clock.now += app.responses.pausing.PAUSE
    assert (statuses(), waits) == ([200, 503], ["SET", "SET"])
    clock.now, is_silent = clock.now + app.responses.pausing.PAUSE, False
    assert (statuses(), waits[2:]) == ([200, 404], ["SET", "SET", "EXISTS", "EXISTS", "GET"])
    said = [record.getMessage() for record in caplog.records if record.name == "app.responses"]
    assert [text.partition(",")[0] for text in said if "Redis" in text] == [
        "Redis does not answer",
        "Redis answers again",
    ]
    assert "The store of responses failed" not in said


def test_the_events_of_a_kept_response_are_sent_again(client: Client) -> None:
    made = respond(client)
    path = f"{KEPT}/{made['id']}"
    events = checked(client.get(path, params={"stream": "true"}))

    assert events[-1] | {"type": "response.completed", "response": made} == events[-1]
    rest = client.get(path, params={"stream": "true", "starting_after": len(events) - 3})
    assert rest.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert [f'"sequence_number":{number}}}' in rest.text for number in range(len(events))][-3:] == [False, True, True]


def test_a_response_that_fails_is_kept(serve: Serve) -> None:
    client = serve(yielding("one", ValueError("secret")))
    failed = events_of(client)[-1]["response"]
    path = f"{KEPT}/{failed['id']}"

    assert failed["status"] == "failed"
    assert client.get(path).json() == failed
    assert checked(client.get(path, params={"stream": "true"}))[-1]["type"] == "response.failed"


def test_kept_items_have_all_that_their_types_require(client: Client) -> None:
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "a", "output": "Rain."}
    said = {"role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    made = respond(client, [call, output, said, {"role": "user", "content": "Hi"}])
    items = client.get(f"{KEPT}/{made['id']}/input_items", params={"order": "asc"}).json()["data"]

    ResponseItemList.model_validate_json(client.get(f"{KEPT}/{made['id']}/input_items").text, strict=True)
    assert [item["status"] for item in items] == ["completed"] * 4
    assert items[2]["content"] == [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}]
