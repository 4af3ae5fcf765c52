"""A server that `litestar run` starts: where it listens, whose settings it has, and how it ends."""

import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from openai import APIConnectionError, APIError

from tests.conftest import PATIENCE, ROOT
from tests.template.e2e.connection import Connection, chat, says
from tests.template.e2e.server import SERVING, Server, environment, litestar

MINE = """
import asyncio
from litestar import Request, get
from app.app import create_app as create
from app.registry import Pipelines
from app.settings import Settings

pipelines = Pipelines()

@pipelines.model("endless")
async def endless(model, messages, body):
    while True:
        yield "on and on "
        await asyncio.sleep(0.05)

@get("/state")
async def state(request: Request) -> list[bool]:
    return [request.app.debug, request.app.pdb_on_exception]

def create_app(**settings):
    settings = Settings(max_header_size=2000, request_timeout=2, shutdown_grace=1, playground=False, **settings)
    created = create(settings=settings, pipelines=pipelines)
    created.register(state)
    return created

def create_patient_app():
    return create_app(finish_without_client=True)

app = create_app()
"""
NO_PROC = """
import sys

def refuse(event, arguments):
    if event in ("open", "os.listdir") and str(arguments[0]).startswith("/proc"):
        raise FileNotFoundError(arguments[0])

sys.addaudithook(refuse)
"""
SCRIPT = """
import asyncio
from app.app import create_app
from app.settings import Settings

async def main():
    async with create_app(settings=Settings()).lifespan():
        print("running", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an application that has settings of its own, for a machine that has no /proc."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    (folder / "sitecustomize.py").write_text(NO_PROC, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("app", "workers", "number"),
    [("mine:app", [], signal.SIGTERM), ("mine:create_app", ["--wc", "2"], signal.SIGINT)],
)
def test_options_and_settings_given_to_the_application_hold_in_each_worker(
    mine: Path, tmp_path: Path, app: str, workers: list[str], number: signal.Signals
) -> None:
    settings = {"PYTHONPATH": str(mine), "SHUTDOWN_GRACE": "600"}
    with (
        Server(tmp_path / "log", "--debug", "--pdb", *workers, app=app, **settings) as server,
        server.openai() as client,
    ):
        assert server.get("/state") == [True, True]

        large = httpx.get(f"{server.url}/health", headers={"x-large": "x" * 5000})
        assert (large.status_code, large.json()["error"]["code"]) == (431, "request_headers_too_large")
        with Connection(server.port) as connection:
            connection.send(b"GET /health HTTP/1.1\r\n")
            assert connection.read_to_end() == b""

        stream = client.chat.completions.create(model="endless", messages=says("Hello!"), stream=True)
        next(stream)
        server.send(number)
        with pytest.raises(APIError, match="shutting down"):
            list(stream)
        assert server.wait() == 0
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/health")


def test_a_completion_without_its_client_is_stopped_after_the_grace(mine: Path, tmp_path: Path) -> None:
    settings = {"PYTHONPATH": str(mine), "LOG_FORMAT": "json"}
    with (
        Server(tmp_path / "log", app="mine:create_patient_app", **settings) as server,
        Connection(server.port) as asked,
    ):
        asked.post(chat("endless", "Hello!", stream=True))
        asked.read_until(b"data: ")

    assert [line["ended"] for line in server.lines if "ended" in line] == ["client_left"]
    assert not [line for line in server.lines if line["level"] == "ERROR"]


def test_the_lifespan_in_a_script_leaves_signals_alone() -> None:
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM
    finally:
        process.kill()
        process.communicate()


def test_a_wrong_setting_ends_it_with_a_sentence_that_names_the_variable() -> None:
    ended = subprocess.run(  # noqa: S603 - our own command
        litestar("run", "--port", "0"),
        cwd=ROOT,
        env=environment(REASONING_FIELD="thoughts"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert ended.returncode != 0
    assert "REASONING_FIELD is 'thoughts'" in ended.stdout
    assert "Traceback" not in ended.stdout


def test_it_serves_on_a_unix_domain_socket_and_on_an_inherited_one(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with Server(tmp_path / "log", "--uds", path), httpx.Client(transport=httpx.HTTPTransport(uds=path)) as client:
        assert client.get("http://server/health").status_code == 200

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        with Server(tmp_path / "log", "--fd", str(listening.fileno())):
            assert httpx.get(f"http://127.0.0.1:{listening.getsockname()[1]}/health").status_code == 200


def test_it_serves_by_tls_with_a_certificate_that_it_makes(tmp_path: Path) -> None:
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    options = ("--create-self-signed-cert", "--host", "localhost")
    with Server(tmp_path / "log", *options, "--ssl-certfile", certificate, "--ssl-keyfile", key) as server:
        trusting = ssl.create_default_context(cafile=certificate)
        assert httpx.get(f"https://localhost:{server.port}/health", verify=trusting).status_code == 200


class Uvicorn(Server):
    """A server that uvicorn's own command starts, and that the signal ends."""

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _command(self, *options: str) -> list[str]:
        _, app, _, *others = options
        return [sys.executable, "-m", "uvicorn", "--factory", app, "--timeout-graceful-shutdown", "0", *others]


def test_uvicorns_own_command_serves_too_without_what_only_litestars_adds(tmp_path: Path) -> None:
    lost = {"MAX_HEADER_SIZE": "2000", "SHUTDOWN_GRACE": "600"}
    with (
        Uvicorn(tmp_path / "log", app=SERVING, API_KEYS="none", **lost) as server,
        server.openai() as client,
        client.chat.completions.create(model="endless-generator", messages=says("Hello!"), stream=True) as stream,
    ):
        next(stream)
        assert httpx.get(f"{server.url}/v1/models", headers={"x-large": "x" * 5000}).status_code == 401
        server.send(signal.SIGTERM)
        with pytest.raises(APIConnectionError):  # rather than an error that the server sends
            list(stream)
        assert server.wait() == -signal.SIGTERM
        assert '"message":"POST /v1/chat/completions 200"' in server.log
        assert '"traceback":' in server.log
