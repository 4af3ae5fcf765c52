"""The id of a request, on its answer and in the lines that it logs."""

import logging
import re
from collections.abc import Callable

import pytest
from httpx import Response

from app.services import Body, Messages
from app.web.logs import JsonFormatter, TextFormatter
from tests.conftest import Client, Serve, ask, yielding

ANSWERS: dict[str, Callable[[Client], Response]] = {
    "models": lambda client: client.get("/v1/models"),
    "model": lambda client: client.get("/v1/models/test"),
    "completion": ask,
    "stream": lambda client: ask(client, stream=True),
    "unknown path": lambda client: client.get("/nope"),
    "wrong method": lambda client: client.get("/v1/chat/completions"),
    "unknown model": lambda client: ask(client, model="nope"),
    "invalid": lambda client: ask(client, n="two"),
    "malformed": lambda client: client.post("/v1/chat/completions", content=b"{"),
    "no json": lambda client: client.post("/v1/chat/completions", data={"a": "b"}),
    "too large": lambda client: client.post("/v1/chat/completions", content=b"x" * 1001),
    "failed": lambda client: ask(client, content="fail"),
    "failed stream": lambda client: ask(client, content="fail", stream=True),
    "schema": lambda client: client.get("/schema/openapi.json"),
    "health": lambda client: client.get("/health"),
}
EACH_ANSWER = pytest.mark.parametrize("act", ANSWERS.values(), ids=ANSWERS)


def fails_if_asked(model: str, messages: Messages, body: Body) -> str:
    if messages[0]["content"] == "fail":
        raise ValueError("secret")
    return "Hello!"


@pytest.fixture
def client(serve: Serve) -> Client:
    return serve(fails_if_asked, max_body_size=1000)


@EACH_ANSWER
def test_every_response_repeats_the_id_of_its_caller(client: Client, act: Callable[[Client], Response]) -> None:
    client.headers["x-request-id"] = "mine-1.2_3"

    assert act(client).headers.get_list("x-request-id") == ["mine-1.2_3"]


@EACH_ANSWER
def test_every_response_has_an_id_of_its_own(client: Client, act: Callable[[Client], Response]) -> None:
    (first,), (second,) = (act(client).headers.get_list("x-request-id") for _ in range(2))

    assert first != second
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{16,128}", each) for each in (first, second))


@pytest.mark.parametrize("own", ["a", "A" * 128, "0", "...", "req_1"])
def test_a_sane_id_is_kept(client: Client, own: str) -> None:
    assert client.get("/v1/models", headers={"x-request-id": own}).headers["x-request-id"] == own


@pytest.mark.parametrize("own", ["", "A" * 129, "a b", "a/b", "a\tb", "<script>", "a,b", "é".encode(), b"\xff", "a:b"])
def test_any_other_id_is_replaced(client: Client, own: str | bytes) -> None:
    headers: list[tuple[bytes, bytes]] = [(b"x-request-id", own if isinstance(own, bytes) else own.encode())]

    (sent,) = client.get("/v1/models", headers=headers).headers.get_list("x-request-id")

    assert re.fullmatch(r"[A-Za-z0-9._-]{16,128}", sent)


@pytest.mark.parametrize("streaming", [True, False])
def test_lines_that_a_request_logs_bear_its_id(
    serve: Serve, capsys: pytest.CaptureFixture[str], streaming: bool
) -> None:
    log = logging.getLogger("app.mine")

    def in_a_thread(model: str, messages: Messages, body: Body) -> str:
        log.warning("from a thread")
        return "Hello!"

    async def on_the_loop(model: str, messages: Messages, body: Body) -> str:
        log.warning("from the loop")
        return "Hello!"

    for service, line in ((in_a_thread, "from a thread"), (on_the_loop, "from the loop")):
        client = serve(service, log_format="text")
        client.headers["x-request-id"] = "of-this-request"
        ask(client, stream=streaming)

        (logged,) = [each for each in capsys.readouterr().err.splitlines() if line in each]
        assert "[of-this-request]" in logged


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_a_line_outside_of_any_request_has_no_id(formatter: logging.Formatter) -> None:
    line = formatter.format(logging.makeLogRecord({"msg": "Hello!"}))

    assert '"request_id":"-"' in line or "[-]" in line


def test_the_id_of_a_stream_stands_in_the_log_of_its_error(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    client = serve(yielding("Hello", ValueError("secret")), log_format="text")

    response = ask(client, stream=True)

    assert f"[{response.headers['x-request-id']}] app.errors: A request failed" in capsys.readouterr().err
