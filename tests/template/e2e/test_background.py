"""Responses in the background: they run on without their clients, in whichever process was asked."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import openai
import pytest
from litestar.di import Provide
from openai import OpenAI
from openai.types.responses import Response

import app.responses.background
from app.errors import CompletionError
from app.registry import Pipelines
from app.responses.progress import Progress
from app.services import Hooks
from app.settings import Secret
from schemas.chat import Json
from tests.conftest import PATIENCE, live, until, yielding
from tests.template.e2e.redis import Redis, needs_redis
from tests.template.e2e.server import SERVING, Server
from tests.template.e2e.test_responses import Gate

BACKGROUND: Json = {"model": "test", "input": "Hello!", "background": True}
Clients = tuple[OpenAI, OpenAI]
Start = Callable[..., Clients]


@pytest.fixture(params=["memory", pytest.param("redis", marks=needs_redis)])
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Serve a model: by one process, or by two that share a Redis, of which the second never made a response."""
    with ExitStack() as stack:

        def start(model: Callable[..., Any], **settings: Any) -> Clients:
            if request.param == "memory":
                client = stack.enter_context(stack.enter_context(live(model, **settings)))
                return client, client
            url = Secret(stack.enter_context(Redis()).url)
            first, second = (stack.enter_context(live(model, redis_url=url, **settings)) for _ in range(2))
            return stack.enter_context(first), stack.enter_context(second)

        yield start


def ended(client: OpenAI, response: Response) -> Response:
    """Wait until a response has ended, and return it."""
    running = ("queued", "in_progress")
    return until(lambda: client.responses.retrieve(response.id), lambda found: found.status not in running)


def test_a_response_is_polled_until_it_has_ended(start: Start) -> None:
    first, second = start(gate := Gate("Hello"))
    made = first.responses.create(**BACKGROUND)
    polled = second.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError, match="has not ended"):
        first.responses.create(model="test", input="And?", previous_response_id=made.id)
    gate.opened.set()

    assert (made.status, made.background, polled.status) == ("queued", True, "in_progress")
    final = ended(second, made)
    assert (final.status, final.output_text, final.id) == ("completed", "Hellolast", made.id)
    goes_on = second.responses.create(model="test", input="And?", previous_response_id=made.id)
    assert goes_on.output_text == "Hellolast"


def test_the_events_of_a_response_are_followed_and_resumed(start: Start) -> None:
    first, second = start(gate := Gate("Hello"))
    with first.responses.create(**BACKGROUND, stream=True) as stream:
        seen = [next(stream) for _ in range(5)]  # and then the client leaves
    response: Any = seen[0]
    resumed = second.responses.retrieve(response.response.id, stream=True, starting_after=3)
    again = next(iter(resumed))
    gate.opened.set()
    rest = list(resumed)

    assert [event.type for event in seen][-1] == again.type == "response.output_text.delta"
    numbers = [event.sequence_number for event in (*seen, *rest)]
    assert numbers == list(range(len(numbers)))
    assert rest[-1].type == "response.completed"
    later = list(second.responses.retrieve(response.response.id, stream=True))
    assert [event.to_dict() for event in later] == [event.to_dict() for event in (*seen, *rest)]


def test_a_conversation_goes_on_as_soon_as_the_last_event_has_come(start: Start) -> None:
    first, second = start(yielding("Hello"))
    with first.responses.create(**BACKGROUND, stream=True) as stream:
        last: Any = next(event for event in stream if event.type == "response.completed")
        assert second.responses.retrieve(last.response.id) == last.response
        goes_on = second.responses.create(model="test", input="And?", previous_response_id=last.response.id)
    assert goes_on.output_text == "Hello"


def test_who_follows_gets_all_events_even_if_the_last_are_written_after_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, write, looks = Progress.read, Progress.write, list[int]()

    async def look(progress: Progress, number: int) -> bytes | None:
        looks.append(number)
        return await read(progress, number)

    async def write_later(progress: Progress, number: int, frames: bytes) -> None:
        enough = len(looks) + 3
        while len(looks) < enough:  # noqa: ASYNC110 - the follower looks for these
            await asyncio.sleep(0.01)
        await write(progress, number, frames)

    monkeypatch.setattr(Progress, "read", look)
    monkeypatch.setattr(Progress, "write", write_later)
    with live(yielding("Hello")) as client:
        events = list(client.responses.create(**BACKGROUND, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert len(events) > 5


def test_a_response_is_cancelled(start: Start) -> None:
    first, second = start(gate := Gate("Hello"))
    made = first.responses.create(**BACKGROUND)
    followed = second.responses.retrieve(made.id, stream=True)
    until(lambda: next(followed), lambda event: event.type == "response.output_text.delta")
    cancelled = second.responses.cancel(made.id)

    assert gate.closed.wait(60)
    assert (cancelled.status, cancelled.output_text, cancelled.error) == ("cancelled", "Hello", None)
    assert first.responses.retrieve(made.id) == second.responses.cancel(made.id) == cancelled
    last: Any = list(followed)[-1]
    assert (last.type, last.response.status) == ("response.failed", "cancelled")


@pytest.mark.parametrize("items", [[], ["Hello"]], ids=["at once", "in mid-stream"])
def test_a_response_that_fails_is_kept_with_its_reason(start: Start, items: list[object]) -> None:
    first, second = start(yielding(*items, CompletionError("The index is being rebuilt.", status=503)))
    final = ended(second, first.responses.create(**BACKGROUND))

    assert final.error is not None
    assert (final.status, final.error.message) == ("failed", "The index is being rebuilt.")


def test_a_response_that_is_deleted_ends(start: Start) -> None:
    first, second = start(gate := Gate("Hello"))
    made = first.responses.create(**BACKGROUND)
    second.responses.delete(made.id)

    assert gate.closed.wait(60)
    for _ in range(2):
        with pytest.raises(openai.NotFoundError):
            second.responses.retrieve(made.id)


def test_only_responses_of_the_background_are_cancelled_and_only_kept_ones_are_made(start: Start) -> None:
    client, _ = start(yielding("Hello"), max_concurrent_completions=1)
    made = client.responses.create(model="test", input="Hello!")
    with pytest.raises(openai.BadRequestError, match="Only a response"):
        client.responses.cancel(made.id)
    with pytest.raises(openai.BadRequestError, match="must be stored"):
        client.responses.create(**BACKGROUND, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel("resp_none")
    assert client.responses.create(model="test", input="Hello!").output_text == "Hello"  # nothing runs on


def test_responses_count_as_completions_that_run(start: Start) -> None:
    client, _ = start(gate := Gate("Hello"), max_concurrent_completions=1)
    made = client.responses.create(**BACKGROUND)
    with pytest.raises(openai.InternalServerError, match="overloaded"):
        client.responses.create(**BACKGROUND)
    gate.opened.set()
    assert ended(client, made).status == "completed"


def test_a_response_whose_hook_is_slow_is_no_longer_queued_when_it_is_made() -> None:
    opened = Event()

    async def wait(request: object) -> None:
        await asyncio.to_thread(opened.wait, PATIENCE)

    provide = Provide(lambda: Hooks(pre_hook=wait), sync_to_thread=False)
    with live(yielding("Hello"), dependencies={"hooks": provide}) as client:
        made = client.responses.create(**BACKGROUND)
        opened.set()
        first: Any = next(client.responses.retrieve(made.id, stream=True))
    assert (made.status, first.response.status) == ("queued", "in_progress")


def test_a_response_whose_room_others_took_is_kept_at_its_end() -> None:
    models = Pipelines()
    models.add("test", gate := Gate("Hello"))
    models.add("other", yielding("Hi"))
    with live(models, responses_memory=20_000) as client:
        made = client.responses.create(**BACKGROUND)
        for _ in range(10):
            client.responses.create(model="other", input="x" * 2000)
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(made.id)
        gate.opened.set()
        url = f"{client.base_url}responses/{made.id}"
        until(lambda: httpx.get(url).json().get("status"), lambda status: status == "completed")


@needs_redis
def test_a_response_is_kept_when_the_store_is_there_again(caplog: pytest.LogCaptureFixture) -> None:
    with Redis() as redis, live(gate := Gate("Hello"), redis_url=Secret(redis.url)) as client:
        store = redis.client()
        made = client.responses.create(**BACKGROUND)
        store.execute_command("ACL", "SETUSER", "default", "-set", "-exists")
        gate.opened.set()
        until(lambda: "A response in the background has ended" in caplog.text)
        store.execute_command("ACL", "SETUSER", "default", "+set", "+exists")
        store.close()
        final = ended(client, made)
    assert (final.status, final.output_text) == ("completed", "Hellolast")


@needs_redis
def test_who_follows_or_begins_a_response_is_told_that_the_store_is_out_of_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(app.responses.background, "ATTEMPTS", 1)
    with Redis() as redis, live(gate := Gate("Hello"), redis_url=Secret(redis.url)) as client:
        made = client.responses.create(**BACKGROUND)
        url = f"{client.base_url}responses/{made.id}?stream=true"
        with httpx.stream("GET", url, timeout=PATIENCE) as followed:
            lines = followed.iter_lines()
            until(lambda: next(lines), lambda line: line == "event: response.output_text.delta")
            seen = json.loads(next(lines).removeprefix("data: "))
            redis.stop()
            rest = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
        with pytest.raises(openai.InternalServerError, match="cannot be reached"):
            client.responses.create(**BACKGROUND)
        gate.opened.set()
    told = [(event["type"], event["sequence_number"], event["error"]["type"]) for event in rest]
    assert told == [("error", seen["sequence_number"], "server_error")]


@needs_redis
@pytest.mark.parametrize(("model", "ends"), [("brief", "completed"), ("endless-generator", "failed")])
def test_a_server_that_stops_ends_its_responses(tmp_path: Path, model: str, ends: str) -> None:
    with Redis() as redis, live(yielding(), redis_url=Secret(redis.url)) as other:
        with Server(tmp_path / "log", app=SERVING, REDIS_URL=redis.url, SHUTDOWN_GRACE="2") as server:
            with server.openai() as client:
                made = client.responses.create(model=model, input="run", background=True)
            server.send(signal.SIGTERM)
            server.wait()
        final = other.responses.retrieve(made.id)

    assert (final.status, bool(final.output_text)) == (ends, True)
    assert ends == "completed" or "shutting down" in getattr(final.error, "message", "")


@needs_redis
def test_a_response_whose_server_was_killed_has_failed(tmp_path: Path) -> None:
    with Redis() as redis, live(yielding(), redis_url=Secret(redis.url)) as other:
        server = Server(tmp_path / "log", app=SERVING, REDIS_URL=redis.url)
        with server.__enter__().openai() as client:
            made = client.responses.create(model="endless-generator", input="run", background=True)
        server.kill()
        with closing(redis.client()) as store:
            store.delete(*store.keys("*:runs"))  # which expires
        final = other.responses.retrieve(made.id)
    assert (final.status, "stopped" in getattr(final.error, "message", "")) == ("failed", True)
