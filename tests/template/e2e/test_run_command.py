"""The `run` command: the options of Litestar's own, and the settings of the application that it serves."""

import copy
import inspect
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import httpx
import pytest
from litestar.cli._utils import LitestarEnv
from litestar.cli.main import litestar_group
from openai import APIError

from app.app import create_app
from app.settings import Settings
from app.web.run import RunCommand, run
from tests.template.e2e.clients import client_of, says
from tests.template.e2e.connection import Connection, chat
from tests.template.e2e.patience import PATIENCE, eventually
from tests.template.e2e.server import ROOT, Server, environment

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
    settings = Settings(max_header_size=2000, request_timeout=0.5, shutdown_grace=1, playground=False, **settings)
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
    """A folder with an application that has settings of its own."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text(MINE, encoding="utf-8")
    return folder


def command() -> click.Command:
    """Our command, in the place of Litestar's."""
    cli = click.Group(commands={"run": copy.copy(litestar_group.commands["run"])})
    RunCommand().on_cli_init(cli)
    return cli.commands["run"]


def test_it_has_the_options_of_litestar_s_own_command() -> None:
    theirs = litestar_group.commands["run"]

    assert command().params == theirs.params
    assert command().callback is run
    assert theirs.callback is not run


def test_it_takes_each_option_that_litestar_has() -> None:
    assert inspect.signature(run).parameters.keys() - {"env"} == {param.name for param in command().params}


OPTIONS = [
    ((), {}, {"host": "127.0.0.1", "port": 8000, "workers": 1, "reload": False, "fd": None, "uds": None}),
    (("-p", "9"), {"LITESTAR_PORT": "9"}, {"port": 9}),
    (("-H", "::1"), {"LITESTAR_HOST": "::1"}, {"host": "::1"}),
    (("-W", "2"), {"WEB_CONCURRENCY": "2"}, {"workers": 2}),
    (("-F", "0"), {"LITESTAR_FILE_DESCRIPTOR": "0"}, {"fd": 0}),
    (("-U", "file"), {"LITESTAR_UNIX_DOMAIN_SOCKET": "file"}, {"uds": "file"}),
    (("-r",), {"LITESTAR_RELOAD": "1"}, {"reload": True, "reload_dirs": None}),
    (("-R", "app"), {"LITESTAR_RELOAD_DIRS": "app"}, {"reload": True, "reload_dirs": ["app"]}),
    (("-I", "*.txt"), {"LITESTAR_RELOAD_INCLUDES": "*.txt"}, {"reload": True, "reload_includes": ["*.txt"]}),
    (("-E", "*.py"), {"LITESTAR_RELOAD_EXCLUDES": "*.py"}, {"reload": True, "reload_excludes": ["*.py"]}),
]


@pytest.mark.parametrize("by_variables", [False, True], ids=["short names", "variables"])
@pytest.mark.parametrize(("options", "variables", "expected"), OPTIONS)
def test_options_reach_uvicorn_by_their_short_names_and_by_variables(
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    variables: Mapping[str, str],
    expected: Mapping[str, object],
    by_variables: bool,
) -> None:
    arguments: dict[str, Any] = {}
    monkeypatch.setattr("uvicorn.run", lambda app, **given: arguments.update(given))
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr("app.web.run._host_of", lambda host, fd: None)
    env = LitestarEnv("app.app:create_app", create_app(settings=Settings()), ROOT)

    given = [] if by_variables else list(options)
    with (
        patch.dict("os.environ", variables if by_variables else {}),
        command().make_context("run", given) as context,
    ):
        run(env, **context.params)

    assert {name: arguments[name] for name in expected} == expected


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("app", ["mine:app", "mine:create_app"])
def test_debug_and_pdb_reach_the_application(mine: Path, tmp_path: Path, app: str, workers: int) -> None:
    settings = {"PYTHONPATH": str(mine)}
    options = ("--debug", "--pdb")
    with Server(tmp_path / "log", app=app, settings=settings, options=options, workers=workers) as server:
        assert httpx.get(f"{server.url}/state").json() == [True, True]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("app", ["mine:app", "mine:create_app"])
def test_settings_given_to_the_application_limit_http(mine: Path, tmp_path: Path, app: str, workers: int) -> None:
    settings = {"PYTHONPATH": str(mine)}
    with Server(tmp_path / "log", app=app, settings=settings, workers=workers) as server:
        large = httpx.get(f"{server.url}/health", headers={"x-large": "x" * 5000})
        with Connection(server.port) as connection:
            connection.send(b"GET /health HTTP/1.1\r\n")
            unfinished = connection.read_to_end()

    assert large.status_code == 431
    assert large.json()["error"]["code"] == "request_headers_too_large"
    assert unfinished == b""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_settings_given_to_the_application_are_those_of_the_shutdown(
    mine: Path, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    settings = {"PYTHONPATH": str(mine), "SHUTDOWN_GRACE": "600"}
    with (
        Server(tmp_path / "log", app="mine:create_app", settings=settings, workers=workers) as server,
        client_of(server) as client,
    ):
        stream = client.chat.completions.create(model="endless", messages=says("Hello!"), stream=True)
        next(stream)
        server.send(number)
        with pytest.raises(APIError, match="shutting down"):
            list(stream)

        assert server.wait() == 0


def test_a_completion_without_its_client_is_stopped_after_the_grace(mine: Path, tmp_path: Path) -> None:
    settings = {"PYTHONPATH": str(mine), "LOG_FORMAT": "json"}
    server = Server(tmp_path / "log", app="mine:create_patient_app", settings=settings)
    try:
        server.wait_for_log("Uvicorn running on")  # without a connection that would stay open
        with Connection(server.port) as connection:
            connection.post(chat("endless", "Hello!", stream=True))
            connection.read_until(b"data: ")
        server.send(signal.SIGTERM)
        code = server.wait()
    finally:
        server.kill()

    assert code == 0
    assert [line["ended"] for line in server.lines if "ended" in line] == ["client_left"]
    assert not [line for line in server.lines if line["level"] == "ERROR"]


def test_sigterm_ends_several_workers_where_there_is_no_proc(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_PROC, encoding="utf-8")
    settings = {"PYTHONPATH": f"{tmp_path}:{mine}"}
    with Server(tmp_path / "log", app="mine:create_app", settings=settings, workers=2) as server:
        server.send(signal.SIGTERM)

        assert server.wait() == 0
        server.wait_until_it_shuts_down()
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/health")


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


def test_it_serves_on_a_unix_domain_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = Server(tmp_path / "log", options=("--uds", str(path)))
    try:
        server.wait_for_log("Application startup complete")
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            assert eventually(lambda: client.get("http://server/health").status_code, bool) == 200
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    finally:
        server.kill()


def test_it_serves_on_an_inherited_socket(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        file = listening.fileno()
        server = Server(tmp_path / "log", options=("--fd", str(file)), files=(file,))
        try:
            server.wait_for_log("Application startup complete")
            assert httpx.get(f"http://127.0.0.1:{listening.getsockname()[1]}/health").status_code == 200
        finally:
            server.send(signal.SIGTERM)
            code = server.wait()
            server.kill()
    assert code == 0


def test_it_serves_by_tls(tmp_path: Path) -> None:
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own command
    server = Server(tmp_path / "log", options=("--ssl-certfile", certificate, "--ssl-keyfile", key))
    try:
        server.wait_for_log("Uvicorn running on https://")
        trusting = ssl.create_default_context(cafile=certificate)
        assert httpx.get(f"https://127.0.0.1:{server.port}/health", verify=trusting).status_code == 200
    finally:
        server.send(signal.SIGTERM)
        code = server.wait()
        server.kill()
    assert code == 0


def test_it_makes_a_certificate(tmp_path: Path) -> None:
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    files = ("--ssl-certfile", certificate, "--ssl-keyfile", key)
    server = Server(tmp_path / "log", options=("--create-self-signed-cert", "--host", "localhost", *files))
    try:
        server.wait_for_log("Uvicorn running on https://")
        trusting = ssl.create_default_context(cafile=certificate)
        assert httpx.get(f"https://localhost:{server.port}/health", verify=trusting).status_code == 200
    finally:
        server.send(signal.SIGTERM)
        code = server.wait()
        server.kill()
    assert code == 0


def test_it_restarts_when_a_file_changes(mine: Path, tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    settings = {"PYTHONPATH": str(mine)}
    options = ("--reload-dir", str(watched), "--reload-include", "*.txt", "--reload-exclude", "ignored*")
    with Server(tmp_path / "log", app="mine:create_app", settings=settings, options=options) as server:
        assert server.log.count("Application startup complete") == 1
        (watched / "ignored.py").write_text("", encoding="utf-8")
        (watched / "changed.txt").write_text("", encoding="utf-8")
        eventually(lambda: server.log.count("Application startup complete"), lambda started: started == 2)
        eventually(lambda: server.models(), bool)
        assert "changed.txt" in server.log
        assert "ignored.py" not in server.log
