"""The `run` command: its options are Litestar's own, and it warns of a server that is open to all."""

import errno
import inspect
import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from litestar.cli.main import litestar_group

Run = Callable[..., tuple[Result, dict[str, Any]]]
OPTIONS: list[tuple[str, str, dict[str, object]]] = [
    ("", "", {"host": "127.0.0.1", "port": 8000, "workers": 1, "reload": False, "fd": None, "uds": None}),
    ("-p 9", "LITESTAR_PORT=9", {"port": 9}),
    ("-H ::1", "LITESTAR_HOST=::1", {"host": "::1"}),
    ("-W 2", "WEB_CONCURRENCY=2", {"workers": 2}),
    ("-U file", "LITESTAR_UNIX_DOMAIN_SOCKET=file", {"uds": "file"}),
    ("-r", "LITESTAR_RELOAD=1", {"reload": True, "reload_dirs": None}),
    ("-R app", "LITESTAR_RELOAD_DIRS=app", {"reload": True, "reload_dirs": ["app"]}),
    ("-I *.txt", "LITESTAR_RELOAD_INCLUDES=*.txt", {"reload": True, "reload_includes": ["*.txt"]}),
    ("-E *.py", "LITESTAR_RELOAD_EXCLUDES=*.py", {"reload": True, "reload_excludes": ["*.py"]}),
]
WARNING = "No API_KEYS are set, and the server listens on {}: anyone who reaches it may use it."
IN_USE = "Address already in use. Stop the program that does, or choose another"
UNUSABLE = [
    (["--port", "{port}"], "127.0.0.1, port {port}: " + IN_USE + " port with --port."),
    (["--port", "{port}", "--wc", "2"], "127.0.0.1, port {port}: " + IN_USE + " port with --port."),
    (["--port", "99999"], "127.0.0.1, port 99999: A port is a number up to 65535. Choose another port with --port."),
    (
        ["--host", "192.0.2.1", "--port", "0"],
        "192.0.2.1, port 0: Cannot assign requested address. Choose an address of",
    ),
    (
        ["--host", "nope.invalid"],
        ". Choose an address of this machine with --host, e.g. 127.0.0.1, or 0.0.0.0 for all.",
    ),
    (
        ["--host", "127..0.1"],
        "127..0.1, port 8000: It is no name of a host. Choose an address of this machine with --host, e.g. 127.0.0.1",
    ),
    (["--uds", f"/{'x' * 200}"], f"/{'x' * 200}: AF_UNIX path too long. Choose another file with --uds."),
    (["--uds", "{folder}/live"], "{folder}/live: " + IN_USE + " file with --uds."),
    (["--uds", "{folder}/no/x"], "{folder}/no/x: No such file or directory. Choose another file with --uds."),
    (["--fd", "777"], "file descriptor 777: Bad file descriptor. Choose that of a socket with --fd."),
]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - nothing listens there


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command, and returns its result and the arguments that uvicorn is called with."""
    arguments: dict[str, Any] = {}
    monkeypatch.setattr("uvicorn.run", lambda app, **given: arguments.update(given))
    monkeypatch.setattr("app.web.run.check_address", lambda *given: None)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    for name in ("API_KEYS", "API_KEYS_FILE", "LITESTAR_APP", "LITESTAR_PORT", "LITESTAR_HOST", "WEB_CONCURRENCY"):
        monkeypatch.setenv(name, "")

    def invoke(*options: str, **variables: str) -> tuple[Result, dict[str, Any]]:
        command = ["--app", "app.app:create_app", "run", *options]
        return CliRunner().invoke(litestar_group, command, env=variables, catch_exceptions=False), arguments

    return invoke


def test_it_takes_each_option_that_litestars_own_command_has(invoke: Run) -> None:
    invoke()
    command = litestar_group.commands["run"]
    assert command.callback is not None
    own = inspect.unwrap(command.callback)
    assert own.__module__ == "app.web.run"
    assert inspect.signature(own).parameters.keys() - {"env"} == {parameter.name for parameter in command.params}


@pytest.mark.parametrize(("options", "variables", "expected"), OPTIONS)
def test_options_reach_uvicorn_by_their_short_names_and_by_variables(
    invoke: Run, options: str, variables: str, expected: dict[str, object]
) -> None:
    by_name, _, value = variables.partition("=")
    for given, environment in ((options.split(), {}), ([], {by_name: value} if by_name else {})):
        result, arguments = invoke(*given, **environment)
        assert result.exit_code == 0, result.output
        assert {name: arguments[name] for name in expected} == expected


def test_a_certificate_is_used_that_is_given_or_made(invoke: Run, tmp_path: Path) -> None:
    files = {"ssl_certfile": str(tmp_path / "cert.pem"), "ssl_keyfile": str(tmp_path / "key.pem")}
    options = ["--ssl-certfile", files["ssl_certfile"], "--ssl-keyfile", files["ssl_keyfile"]]
    for more in (["--create-self-signed-cert"], []):
        _, arguments = invoke(*options, *more)
        assert {name: arguments[name] for name in files} == files
    assert Path(files["ssl_certfile"]).exists()


@pytest.mark.parametrize(
    ("options", "host"),
    [
        (("-H", EVERYWHERE), EVERYWHERE),
        (("-H", "::"), "::"),
        (("-H", "example.com"), "example.com"),
        (("-H", "127.0.0.2"), None),
        (("-H", "::1"), None),
        (("-H", "localhost"), None),
        (("-H", EVERYWHERE, "-U", "file"), None),
    ],
)
def test_it_warns_if_there_are_no_keys_and_others_can_reach_the_server(
    invoke: Run, caplog: pytest.LogCaptureFixture, options: tuple[str, ...], host: str | None
) -> None:
    invoke(*options)
    assert [record.getMessage() for record in caplog.records] == ([WARNING.format(host)] if host else [])
    caplog.clear()
    invoke(*options, API_KEYS="sk-mine")
    assert not caplog.records


def test_it_warns_once_of_a_variable_that_is_nearly_a_setting(invoke: Run, caplog: pytest.LogCaptureFixture) -> None:
    invoke("-W", "2", API_KEY="sk-mine")
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("API_KEY in the environment is no setting")


@pytest.mark.parametrize(("family", "host"), [("inet", EVERYWHERE), ("inet", "127.0.0.1"), ("unix", None)])
def test_an_inherited_socket_is_looked_at(
    invoke: Run, caplog: pytest.LogCaptureFixture, tmp_path: Path, family: str, host: str | None
) -> None:
    is_unix = family == "unix"
    with socket.socket(socket.AF_UNIX if is_unix else socket.AF_INET) as listening:
        listening.bind(str(tmp_path / "socket") if host is None else (host, 0))
        _, arguments = invoke("-F", str(listening.fileno()))
        assert arguments["fd"] == listening.fileno()
        os.fstat(listening.fileno())  # which is still open
    assert [record.getMessage() for record in caplog.records] == ([WARNING.format(host)] if host == EVERYWHERE else [])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The applications that uvicorn was told to serve."""
    served: list[object] = []
    monkeypatch.setattr("uvicorn.run", lambda app, **given: served.append(app))
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    return served


def run(*options: str) -> Result:
    return CliRunner().invoke(litestar_group, ["--app", "app.app:create_app", "run", *options])


def joined(text: str) -> str:
    """Return a text without its spaces, line breaks and the lines of a box around it."""
    return re.sub(r"[\s│╭╮╰╯─]", "", text)


@pytest.mark.parametrize(("options", "expected"), UNUSABLE)
def test_an_address_on_which_it_cannot_listen_is_told_in_a_sentence_before_anything_starts(
    started: list[object], tmp_path: Path, options: list[str], expected: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(socket.AF_UNIX) as live:
        live.bind(str(tmp_path / "live"))
        live.listen()
        names = {"port": taken.getsockname()[1], "folder": tmp_path}
        result = run(*(option.format(**names) for option in options))

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)  # which prints no traceback
    assert joined(expected.format(**names)) in joined(result.output)
    assert not started


def test_a_port_for_root_alone_is_told_in_a_sentence_as_well(
    started: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("socket.create_server", refuse)
    result = run("--port", "80")
    assert (result.exit_code, started) == (1, [])
    assert joined("127.0.0.1, port 80: Permission denied. Choose another port with --port.") in joined(result.output)


def test_the_ipv6_address_of_a_host_is_left_out_on_a_machine_without_ipv6(
    started: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [(socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "127.0.0.1")]
    found = [(family, socket.SOCK_STREAM, 6, "", (address, 0)) for family, address in addresses]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr("socket.has_dualstack_ipv6", lambda: False)
    result = run("--host", "localhost", "--port", "0")
    assert (result.exit_code, len(started)) == (0, 1), result.output


def test_the_socket_file_of_a_server_that_was_killed_is_no_obstacle(started: list[object], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "stale"))
    for _ in range(2):
        assert run("--uds", str(tmp_path / "stale"), "--wc", "2").exit_code == 0
    assert len(started) == 2
    assert not (tmp_path / "stale").exists()
