"""API keys: what else is refused, which routes need one, and what nobody sees of them."""

import re
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from litestar import Request, get
from litestar.routes import HTTPRoute

import app.keys
from app.keys import Keys
from app.settings import Settings, SettingsError
from tests.conftest import PATIENCE, Client, Serve, error_of, returning

KEYS = Keys.parse("first,second")
PUBLIC_PATHS = {"/", "/health", "/ready", "/static/{name}", "/open"}
WRONG: dict[str, bytes | None] = {
    "no header": None,
    "empty key": b"Bearer ",
    "spaces": b"Bearer    ",
    "all keys": b"Bearer first,second",
    "no space": b"Bearerfirst",
    "basic": b"Basic Zmlyc3Q6",
    "digest": b'Digest username="first"',
    "tab": b"Bearer\tfirst",
    "hash": b"Bearer a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e",
    "utf-8": "Bearer schlüssel".encode(),
    "bytes": b"Bearer \xff\xfe\x80",
    "bytes in the scheme": b"\xff\xfe first",
    "long": b"Bearer " + b"x" * 10_000,
}


@get("/mine")
async def mine(request: Request[str, None, Any]) -> str:
    return request.user


@get("/open", opt={"exclude_from_auth": True})
async def open_to_all() -> str:
    return "Come in!"


def with_keys(serve: Serve, **settings: Any) -> Client:
    client = serve(returning("Hello!"), api_keys=KEYS, **settings)
    client.app.register(mine)
    client.app.register(open_to_all)
    return client


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    return with_keys(serve_all)


def is_refused(response: Response) -> bool:
    error = error_of(response)
    seen = (response.status_code, error["type"], error["code"], error["param"], response.headers["www-authenticate"])
    assert response.headers["x-request-id"]
    return seen == (401, "invalid_request_error", "invalid_api_key", None, "Bearer")


@pytest.mark.parametrize("sent", WRONG.values(), ids=WRONG)
def test_odd_headers_are_refused(client: Client, sent: bytes | None) -> None:
    assert is_refused(client.get("/v1/models", headers=[] if sent is None else [(b"authorization", sent)]))


@pytest.mark.parametrize("header", ["BEARER  first", "Bearer first "])
def test_the_case_of_the_scheme_and_spaces_do_not_matter(client: Client, header: str) -> None:
    assert client.get("/v1/models", headers={"authorization": header}).status_code == 200


def test_every_route_needs_a_key_unless_it_says_otherwise(client: Client) -> None:
    handlers = [
        (bool(handler.opt.get("exclude_from_auth")), str(method), route.path_format)
        for route in client.app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
    ]
    closed = {(method, re.sub(r"{.*?}", "test", path)) for public, method, path in handlers if not public}
    odd = [("GET", "http://testserver.local//v1/models"), ("GET", "/models/a/b"), ("GET", "/schema/nothing")]

    assert {path for public, _, path in handlers if public} == PUBLIC_PATHS
    assert closed > {("POST", "/v1/chat/completions"), ("OPTIONS", "/chat/completions"), ("GET", "/mine")}
    elsewhere = {"cookie": "key=first", "proxy-authorization": "Bearer first"}
    for method, path in [*closed, *odd]:
        assert is_refused(client.request(method, path, headers=elsewhere)), (method, path)
    assert client.get("/open").text == "Come in!"
    assert [client.get(path).status_code for path in ("/v1/nothing", "/v1/chat/completions")] == [404, 405]


def test_a_caller_is_known_by_an_id_that_is_the_same_on_each_server_and_reveals_nothing(serve: Serve) -> None:
    first, again, second = (
        with_keys(serve).get("/mine", headers={"authorization": f"Bearer {key}"}).text
        for key in ("first", "first", "second")
    )
    assert first == again != second
    assert re.fullmatch(r"key_[0-9a-f]{16}", first)
    assert not [digest for digest in KEYS if digest.hex().startswith(first.removeprefix("key_"))]


def test_the_documentation_says_how_to_send_a_key(serve: Serve) -> None:
    document = with_keys(serve, public_docs=True).get("/schema/openapi.json").json()
    assert document["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert "security" not in serve(returning("Hello!")).get("/schema/openapi.json").json()


def test_keys_stand_between_commas_and_in_lines_of_a_file_and_are_shown_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# ours\nthird\n\n  fourth, with a comma  \n  # theirs\n")
    variables = {"API_KEYS": " first,schlüssel,, first ", "API_KEYS_FILE": str(path), "REDIS_URL": "redis://:pass@a"}
    settings = Settings.load(variables | {"OPENAI_API_KEY": "upstream"})

    known = ["first", "schlüssel", "third", "fourth, with a comma"]
    assert len(settings.keys) == len(known)
    assert all(settings.keys.owner_of(key.encode()) for key in known)
    shown = f"{settings!r} {settings} {settings.keys!r} {list(settings.keys)}"
    assert not [secret for secret in (*known, "pass", "upstream") if secret in shown]
    assert not [digest for digest in settings.keys if digest.hex() in repr(settings)]


@pytest.mark.parametrize("text", [",", " , ,", " "])
def test_a_variable_without_any_key_is_refused_rather_than_leaving_the_server_open(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^API_KEYS cannot be used: it holds no key"):
        Settings.load({"API_KEYS": text})


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "holds no key"), (b"# none\n", "holds no key"), (b"\xff\xfe", "can't decode"), (None, "no such file")],
)
def test_a_file_without_any_key_or_that_cannot_be_read_is_refused(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    for refused, why in ((path, reason), (tmp_path, "is a directory")):
        with pytest.raises(SettingsError, match=rf"^API_KEYS_FILE cannot be used: .*{why}"):
            Settings.load({"API_KEYS_FILE": str(refused)})


@pytest.mark.parametrize("key", ["sk-secret", "sk-secret" * 1000, "sk-secret\0"], ids=["short", "long", "no name"])
def test_a_key_in_the_place_of_the_path_is_not_shown(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load({"API_KEYS_FILE": key})
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "with a byte order mark"])
def test_the_first_key_of_a_file_and_the_first_line_of_dotenv_are_read_whoever_wrote_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEYS", "")  # which does not hide that of the file
    monkeypatch.setenv("API_KEYS_FILE", "")
    (tmp_path / "keys").write_bytes(mark + b"first\r\nsecond\r\n")
    (tmp_path / ".env").write_bytes(mark + b"API_KEYS=third\nAPI_KEYS_FILE=keys\n")
    assert Settings.load().keys == Keys.parse("first,second,third")


class Watched:
    """A server whose keys stand in a file, at which it looks before each request."""

    def __init__(self, serve: Serve, path: Path) -> None:
        path.write_text("first\nsecond\n")
        file = Settings.load({"API_KEYS_FILE": str(path)}).api_keys_file
        self._client = serve(returning("Hello!"), api_keys=Keys.parse("fixed"), api_keys_file=file)

    def accepted(self) -> list[str]:
        """Return the keys that it takes now."""
        keys = ("fixed", "first", "second", "third")
        sent = {key: {"authorization": f"Bearer {key}"} for key in keys}
        return [key for key in keys if self._client.get("/v1/models", headers=sent[key]).is_success]


@pytest.fixture
def watched(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(app.keys, "INTERVAL", 0)
    return Watched(serve, tmp_path / "keys")


@pytest.mark.parametrize(
    ("content", "accepted"),
    [("second\nthird\n", ["second", "third"]), ("first\nthirdd\n", ["first"]), ("# none\n", []), ("", [])],
)
@pytest.mark.parametrize("replaces", [False, True], ids=["written in place", "replaced"])
def test_keys_are_added_and_removed_while_the_server_runs(
    watched: Watched, tmp_path: Path, content: str, accepted: list[str], replaces: bool
) -> None:
    assert watched.accepted() == ["fixed", "first", "second"]
    if replaces:
        (tmp_path / "new").write_text(content)
        (tmp_path / "new").rename(tmp_path / "keys")
    else:
        (tmp_path / "keys").write_text(content)
    assert watched.accepted() == ["fixed", *accepted]


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["undecodable", "missing"])
def test_a_file_that_cannot_be_read_for_a_moment_leaves_the_keys_it_had_and_is_logged_once(
    watched: Watched, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    watched.accepted()
    (tmp_path / "keys").unlink()
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    assert watched.accepted() == ["fixed", "first", "second"]
    assert [record.levelname for record in caplog.records if "API_KEYS_FILE cannot be read" in record.message] == [
        "ERROR"
    ]
    (tmp_path / "keys").write_text("third\n")
    assert watched.accepted() == ["fixed", "third"]


def test_a_file_is_looked_at_no_more_than_once_in_an_interval(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.keys, "INTERVAL", PATIENCE * 60)
    watched.accepted()
    (tmp_path / "keys").write_text("third\n")
    assert watched.accepted() == ["fixed", "first", "second"]
