from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI, OpenAI

from tests.template.e2e.clients import says
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.journal import Census
from tests.template.e2e.patience import eventually
from tests.template.e2e.server import Server

GENERATORS = ["endless-async-generator", "endless-generator", "held-generator"]


@pytest.fixture(autouse=True)
def leaves_nothing_behind(server: Server) -> Iterator[None]:
    """No task and no generator is left of what a test did."""
    server.wait_until_idle()
    yield
    server.wait_until_idle()


def has_noticed(census: Census) -> bool:
    """Whether no completion is under way for the event loop; a thread may still be."""
    return not [name for name in census.tasks if name.startswith("Completion")]


def leave(server: Server, model: str, key: str, *, stream: bool) -> None:
    """Ask, wait until the service is at work, and leave."""
    with Connection(server.port) as connection:
        connection.post(chat(model, key, stream=stream))
        server.wait_for(key, "started")


@pytest.mark.parametrize("model", GENERATORS)
def test_a_generator_is_closed_when_its_client_leaves(server: Server, client: OpenAI, key: str, model: str) -> None:
    with client.chat.completions.create(model=model, messages=says(key), stream=True) as stream:
        assert [next(stream).choices[0].delta.content for _ in range(3)] == ["", "more ", "more "]

    assert server.wait_for(key, "closed") == ["started", "closed"]


@pytest.mark.parametrize("model", GENERATORS)
def test_a_generator_is_closed_when_the_client_leaves_that_waits_for_the_whole(
    server: Server, key: str, model: str
) -> None:
    leave(server, model, key, stream=False)

    assert server.wait_for(key, "closed") == ["started", "closed"]


@pytest.mark.anyio
async def test_a_generator_is_closed_when_the_async_client_leaves(
    server: Server, async_client: AsyncOpenAI, key: str
) -> None:
    stream = await async_client.chat.completions.create(
        model="endless-async-generator", messages=says(key), stream=True
    )
    await anext(stream)
    await stream.close()

    assert server.wait_for(key, "closed") == ["started", "closed"]


def test_an_async_generator_that_waits_is_closed_at_once(server: Server, client: OpenAI, key: str) -> None:
    with client.chat.completions.create(model="gated-async-generator", messages=says(key), stream=True) as stream:
        assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "first"]

    assert server.wait_for(key, "closed") == ["started", "closed"]


def test_a_sync_generator_that_blocks_is_closed_as_soon_as_it_goes_on(server: Server, client: OpenAI, key: str) -> None:
    with client.chat.completions.create(model="gated-generator", messages=says(key), stream=True) as stream:
        assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "first"]
        server.wait_for(key, "blocked")

    eventually(server.census, has_noticed)
    assert server.events(key) == ["started", "blocked"]
    server.open_gate(key)
    assert server.wait_for(key, "closed") == ["started", "blocked", "closed"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_stream_that_waits_for_its_first_item_is_closed(server: Server, key: str, stream: bool) -> None:
    leave(server, "late-async-generator", key, stream=stream)

    assert server.wait_for(key, "closed") == ["started", "closed"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_sync_generator_that_blocks_before_its_first_item_is_closed_as_soon_as_it_goes_on(
    server: Server, key: str, stream: bool
) -> None:
    leave(server, "late-generator", key, stream=stream)

    eventually(server.census, has_noticed)
    server.open_gate(key)
    assert server.wait_for(key, "closed") == ["started", "closed"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_async_function_is_cancelled(server: Server, key: str, stream: bool) -> None:
    leave(server, "gated-async-function", key, stream=stream)

    assert server.wait_for(key, "closed") == ["started", "closed"]


@pytest.mark.parametrize("stream", [False, True])
def test_blocking_code_sees_that_it_is_cancelled(server: Server, key: str, stream: bool) -> None:
    leave(server, "blocking-function", key, stream=stream)

    assert server.wait_for(key, "cancelled") == ["started", "cancelled"]


@pytest.mark.parametrize("model", ["flood", "async-flood"])
def test_a_reader_that_stalled_and_then_leaves_ends_the_generator(server: Server, key: str, model: str) -> None:
    with Connection(server.port, receive_buffer=65536) as connection:
        connection.post(chat(model, key, stream=True))
        connection.read_until(b"xxx")

    assert server.wait_for(key, "closed") == ["closed"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["faithful-async-generator", "faithful-generator"])
def test_a_model_that_outlives_its_client_runs_to_its_end(server: Server, key: str, model: str, stream: bool) -> None:
    leave(server, model, key, stream=stream)

    seen = server.items(key)
    eventually(lambda: server.items(key), lambda items: items > seen + 30)
    server.open_gate(key)
    assert server.wait_for(key, "closed") == ["started", "finished", "closed"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_function_that_outlives_its_client_runs_to_its_end(server: Server, key: str, stream: bool) -> None:
    leave(server, "faithful-async-function", key, stream=stream)

    for _ in range(5):
        assert server.models()
    server.open_gate(key)
    assert server.wait_for(key, "closed") == ["started", "finished", "closed"]


def test_no_thread_is_left_when_the_work_is_done(server: Server, key: str) -> None:
    leave(server, "endless-generator", key, stream=True)

    server.wait_for(key, "closed")
    eventually(server.census, lambda now: not [name for name in now.threads if name.startswith("completion")])


def test_a_setting_lets_all_models_outlive_their_clients(tmp_path: Path, key: str) -> None:
    with Server.with_own_models(tmp_path / "log", FINISH_WITHOUT_CLIENT="true") as server:
        leave(server, "endless-generator", key, stream=True)

        seen = server.items(key)
        eventually(lambda: server.items(key), lambda items: items > seen + 30)
        server.open_gate(key)
        assert server.wait_for(key, "closed") == ["started", "finished", "closed"]
