"""Responses that are kept: who can read and continue them, for how long, and where they are."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest
from litestar.stores.base import Store
from openai.types.responses import ResponseItemList
from redis.asyncio import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

import app.responses.pausing
from app.app import create_app
from app.keys import Keys
from app.settings import Secret, Settings, SettingsError
from schemas.chat import Json
from tests.conftest import Client, Serve, error_of, returning, until
from tests.template.chat.scripted import Scripted
from tests.template.responses.events import create, events_of, respond

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

    respond(client, [reference, {"role": "user", "content": "And?"}])
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


def test_no_key_can_read_or_continue_the_responses_of_another(serve: Serve) -> None:
    client = serve(returning("Hi"), api_keys=Keys.parse("sk-mine, sk-yours"))
    client.headers["authorization"] = "Bearer sk-mine"
    made = respond(client)
    path = f"{KEPT}/{made['id']}"
    reference = [{"type": "item_reference", "id": made["output"][0]["id"]}]

    client.headers["authorization"] = "Bearer sk-yours"
    for refused in (
        *(client.get(path), client.delete(path), client.get(f"{path}/input_items")),
        *(create(client, previous_response_id=made["id"]), create(client, reference)),
    ):
        assert refused.status_code == 404

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


def test_a_redis_that_does_not_answer_is_not_waited_for_by_each_request(
    monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    waits: list[str] = []
    is_silent = True

    async def execute_command(_: object, name: str, *arguments: object, **options: object) -> bytes | None:
        waits.append(name)
        if is_silent:
            raise RedisTimeoutError
        return None

    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(app.responses.pausing, "time", clock)
    monkeypatch.setattr(Redis, "execute_command", execute_command)
    client = serve(Scripted(), redis_url=Secret("redis://localhost"))

    def statuses() -> list[int]:
        made = client.post("/v1/responses", json={"model": "test", "input": "Hello!"})
        return [made.status_code, client.get("/v1/responses/resp_1").status_code]

    assert (statuses(), statuses(), waits) == ([200, 503], [200, 503], ["SET"])
    clock.now += app.responses.pausing.PAUSE
    assert (statuses(), waits) == ([200, 503], ["SET", "SET"])
    clock.now, is_silent = clock.now + app.responses.pausing.PAUSE, False
    assert (statuses(), waits[2:]) == ([200, 404], ["SET", "GET"])
