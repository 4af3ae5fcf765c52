"""The application: what it imports, what replaces its parts, how it says that it is ready, and the models it has."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from litestar.di import Provide

from app.app import create_app
from app.pipelines import pipelines
from app.services import Hooks
from app.settings import Settings, SettingsError
from schemas.chat import Json
from tests.conftest import (
    ASKS,
    ROOT,
    Client,
    Serve,
    ask,
    chunks_of,
    error_of,
    given,
    message_of,
    returning,
    streamed_text,
)
from tests.template.conftest import deltas_of

PARTS = [
    {"type": "text", "text": "Hello"},
    {"type": "image_url", "image_url": {"url": "a"}},
    {"type": "text", "text": "!"},
]


def service(**methods: Any) -> Any:
    """Return a service that inherits nothing."""
    return SimpleNamespace(**methods)


@pytest.fixture(scope="module")
def shipped(serve_all: Serve) -> Client:
    """A client of the project's own models."""
    return serve_all(pipelines)


def test_an_application_imports_no_haystack_and_starts_no_thread_and_its_controllers_may_be_imported_first() -> None:
    code = (
        "import controllers.openai, sys, threading; from app.app import create_app; create_app();"
        "print('haystack' in sys.modules, 'openai' in sys.modules, threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter, with our own code
    assert done.stdout.strip() == "False False 1"


@pytest.mark.parametrize(
    ("setting", "module", "extra"), [("metrics", "prometheus_client", "metrics"), ("tracing", "opentelemetry", "otel")]
)
def test_a_setting_whose_packages_are_missing_stops_the_start_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, setting: str, module: str, extra: str
) -> None:
    for name in [f"app.telemetry.{setting}", *(name for name in sys.modules if name.startswith("litestar.plugins."))]:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    settings: dict[str, Any] = {setting: True}
    with pytest.raises(SettingsError, match=f"`uv run --extra {extra} litestar run`"):
        create_app(settings=Settings(**settings))


def test_either_service_alone_can_be_replaced(serve: Serve) -> None:
    completing = serve(pipelines, dependencies={"completion_service": given(service(complete=returning("Mine")))})
    assert message_of(ask(completing, model="echo"))["content"] == "Mine"
    assert ask(completing, model="nope").status_code == 404

    listing = serve(pipelines, dependencies={"model_service": given(service(list_models=lambda: ["echo", "other"]))})
    assert [model["id"] for model in listing.get("/v1/models").json()["data"]] == ["echo", "other"]
    assert message_of(ask(listing, model="echo"))["content"] == "Hello!"
    for name, fact in (("other", "is not served here"), ("echo-stream", "does not exist. Available: echo, other")):
        error = error_of(ask(listing, model=name))  # listed and not registered, or the other way round
        assert (error["code"], error["message"]) == ("model_not_found", f"The model '{name}' {fact}.")


def test_a_provider_may_be_called_for_each_request(serve: Serve) -> None:
    made: list[str] = []

    async def provide() -> Any:
        made.append("made")
        return service(complete=returning("Mine"))

    client = serve(returning("Hello!"), dependencies={"completion_service": Provide(provide)})
    assert [message_of(ask(client))["content"] for _ in range(2)] == ["Mine", "Mine"]
    assert len(made) == 2


def test_neither_a_query_nor_an_assignment_sets_a_dependency(shipped: Client) -> None:
    query = dict.fromkeys(("completion_service", "model_service", "hooks", "engine", "settings"), "hacked")
    response = shipped.post("/v1/chat/completions", params=query, json=ASKS | {"model": "echo"})
    assert message_of(response)["content"] == "Hello!"
    assert shipped.get("/v1/models", params=query).json() == shipped.get("/v1/models").json()
    with pytest.raises(AttributeError):
        Hooks().pre_hook = print  # type: ignore[misc]  # which the type says too


def test_a_server_is_ready_unless_its_service_is_loading_or_it_drains_and_alive_all_the_time(serve: Serve) -> None:
    loading = service(complete=returning("Hello!"), loading=True)
    client = serve(loading)
    response = client.get("/ready")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert error_of(response)["code"] == "overloaded"
    assert "loaded" in error_of(response)["message"]
    assert client.get("/health").json() == {"status": "alive"}

    loading.loading = False
    for ready in (client, serve(returning("Hello!"))):  # which says nothing of loading
        assert (ready.get("/ready").status_code, ready.get("/ready").json()) == (200, {"status": "ready"})

    client.app.state.engine.draining = True  # as on the way to its end, when new connections cannot ask any more
    assert "shutting down" in error_of(client.get("/ready"))["message"]
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("model", ["echo", "echo-stream"])
@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"role": "user", "content": "Hello there!"}, "Hello there!"),
        ({"role": "user", "content": PARTS}, "Hello !"),
        ({"role": "user", "content": ""}, ""),
        ({"role": "assistant", "content": None}, ""),
    ],
    ids=["text", "parts", "empty", "null"],
)
def test_an_echo_repeats_the_last_message(shipped: Client, model: str, message: object, text: str) -> None:
    messages = [{"role": "user", "content": "Not me."}, message]
    assert message_of(ask(shipped, model=model, messages=messages))["content"] == text
    assert streamed_text(ask(shipped, model=model, messages=messages, stream=True)) == text


def test_the_streaming_echo_sends_words_and_its_usage(shipped: Client) -> None:
    response = ask(shipped, "a b c", model="echo-stream", stream=True, stream_options={"include_usage": True})
    assert deltas_of(response) == [{"content": "a"}, {"content": " b"}, {"content": " c"}]
    assert chunks_of(response)[-1]["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


def test_the_examples_answer_without_tools_and_reason_before_they_answer(shipped: Client) -> None:
    without_tools: list[Json] = [{}, {"tools": None}, {"tools": []}]
    for fields in without_tools:
        assert "Give me a tool" in message_of(ask(shipped, model="tools", **fields))["content"]
    assert message_of(ask(shipped, "abc", model="events"))["content"] == "cba"
    first, *_, last = deltas_of(ask(shipped, model="reasoning", stream=True))
    assert (list(first), last) == (["reasoning_content"], {"content": "You wrote 6 characters."})
