"""The `run` command: the options of Litestar's own, and the settings of the application that it serves."""

import copy
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import click
import httpx
import pytest
from litestar.cli.main import litestar_group

from app.web.run import RunCommand
from tests.template.e2e.connection import Connection
from tests.template.e2e.patience import PATIENCE, eventually
from tests.template.e2e.server import ROOT, Server, environment

MINE = """
from app.app import create_app as create
from app.settings import Settings

def create_app():
    return create(settings=Settings(max_header_size=2000, request_timeout=0.5, shutdown_grace=1, playground=False))
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


def test_it_has_the_options_of_litestar_s_own_command() -> None:
    cli = click.Group(commands={"run": copy.copy(litestar_group.commands["run"])})
    before = cli.commands["run"]

    RunCommand().on_cli_init(cli)

    after = cli.commands["run"]
    assert after is not before
    assert after.params == before.params
    assert litestar_group.commands["run"].callback is not after.callback


@pytest.mark.parametrize("workers", [1, 2])
def test_settings_given_to_the_application_limit_http(mine: Path, tmp_path: Path, workers: int) -> None:
    settings = {"PYTHONPATH": str(mine)}
    with Server(tmp_path / "log", app="mine:create_app", settings=settings, workers=workers) as server:
        large = httpx.get(f"{server.url}/health", headers={"x-large": "x" * 5000})
        with Connection(server.port) as connection:
            connection.send(b"GET /health HTTP/1.1\r\n")
            unfinished = connection.read_to_end()

    assert large.status_code == 431
    assert large.json()["error"]["code"] == "request_headers_too_large"
    assert unfinished == b""


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


def test_it_restarts_when_a_file_changes(mine: Path, tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    settings = {"PYTHONPATH": str(mine)}
    options = ("--reload-dir", str(watched))
    with Server(tmp_path / "log", app="mine:create_app", settings=settings, options=options) as server:
        assert server.log.count("Application startup complete") == 1
        (watched / "changed.py").write_text("", encoding="utf-8")
        eventually(lambda: server.log.count("Application startup complete"), lambda started: started == 2)
        eventually(lambda: server.models(), bool)
