"""The playground's page and its files, as the server hands them out."""

import re
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import pytest
from litestar.testing import TestClient

from app.app import create_app
from app.settings import RootPath, Settings
from tests.conftest import Client, Serve, error_of, returning

STATIC = Path(__file__).parents[3] / "controllers" / "static"
TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = sorted(path for path in STATIC.rglob("*.*") if path.suffix in TYPES)
LIBRARIES = [path for path in FILES if path.is_relative_to(STATIC / "vendor")]
OURS = [path for path in FILES if path not in LIBRARIES]
HEADED = [
    *("/v1/models", "/models/", "//v1//models", "/v1/models/test", "/v1/models/nope", "/health", "/ready"),
    *("/", "/static/style.css", "/schema", "/schema/openapi.yaml", "/v1/responses/nope"),
]


@pytest.fixture(scope="module")
def client(serve_all: Serve) -> Client:
    return serve_all(returning("Hello!"))


@pytest.fixture(scope="module")
def below(serve_all: Serve) -> Client:
    return serve_all({"llm/llm": returning("Hello!")}, root_path="/llm")


@pytest.mark.parametrize("path", ["/", "/static/playground.js"])
def test_a_page_can_load_and_run_nothing_but_the_servers_own_files(client: Client, path: str) -> None:
    response = client.get(path)

    policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
    assert response.status_code == 200
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert {policy[name] for name in policy if name.endswith("-src")} == {"'none'", "'self'", "'self' data:"}
    assert policy["img-src"] == "'self' data:"
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "dompurify")
    assert response.headers["x-content-type-options"] == "nosniff"


def test_every_file_is_served_as_what_it_is_and_the_playground_is_small(client: Client) -> None:
    for file in FILES:
        name = file.relative_to(STATIC).as_posix()
        response = client.get("/" if name == "playground.html" else f"/static/{name}")
        assert (response.status_code, response.content) == (200, file.read_bytes())
        assert response.headers["content-type"].split(";")[0] == TYPES[file.suffix]
    grammars = [file for file in LIBRARIES if file.parent.name == "highlight" and file.name != "core.min.js"]
    assert _size(OURS) <= 116_000
    assert _size(set(LIBRARIES) - set(grammars)) <= 105_000
    assert _size(grammars) <= 60_000  # of which a page loads those of the languages that it shows


def _size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def test_each_library_is_as_published_and_has_its_licence_beside_it() -> None:
    table = (STATIC / "vendor" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(.+?)` \| \S+ [\d.]+ \| `.+?` \| `(\w+)` \| \[.+?\]\((.+?)\) \|$", table, re.MULTILINE)

    sums = {path.relative_to(STATIC / "vendor").as_posix(): sha256(path.read_bytes()).hexdigest() for path in LIBRARIES}
    assert {file: checksum for file, checksum, _ in rows} == sums
    for _, _, licence in rows:
        assert "Copyright" in (STATIC / "vendor" / licence).read_text(encoding="utf-8")


def test_no_file_of_ours_names_another_host() -> None:
    contents = [file.read_text(encoding="utf-8") for file in OURS]

    hosts = {host for content in contents for host in re.findall(r"(?:https?:)?//([\w.-]+\.\w+)", content)}
    assert hosts == {"www.w3.org"}  # the name of SVG, which nobody asks
    assert not [content for content in contents if "innerHTML" in content or "eval(" in content]


def test_a_file_that_the_client_has_is_not_sent_again(client: Client) -> None:
    first = client.get("/")

    again = client.get("/", headers={"if-none-match": first.headers["etag"]})

    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert client.get("/", headers={"if-none-match": '"another"'}).content == first.content


@pytest.mark.parametrize(
    "name",
    [
        *("playground.html", "nothing.js", "..%2Fplayground.py", "%2e%2e", "%2e", "%00", "style.css%2Fx", "x" * 5000),
        *("", "vendor", "vendor/", "vendor/README.md", "vendor/marked.LICENSE", "vendor/..%2f..%2f..%2fplayground.py"),
    ],
)
def test_no_other_file_is_served(client: Client, name: str) -> None:
    response = client.get(f"/static/{name}")

    assert response.status_code == 404
    assert error_of(response)["code"] == "not_found"
    assert "x" * 200 not in response.text


@pytest.mark.parametrize("path", HEADED)
def test_head_is_answered_as_get_without_the_body(client: Client, path: str) -> None:
    get, head = client.get(path), client.head(path)

    assert (head.status_code, head.content) == (get.status_code, b"")
    for response in (get, head):
        response.headers.pop("x-request-id")
    assert head.headers == get.headers
    assert int(get.headers["content-length"]) == len(get.content)
    allowed = {*client.options(path).headers["allow"].split(", ")}
    assert allowed == {*client.put(path).headers["allow"].split(", ")} >= {"GET", "HEAD", "OPTIONS"}


def test_the_document_is_there_in_both_forms_and_says_nothing_of_the_page(client: Client) -> None:
    responses = [client.get(path) for path in ("/schema", "/schema/", "/schema/openapi.json")]

    assert {response.content for response in responses} == {responses[0].content}
    for response in responses:
        assert response.headers["content-type"] == "application/vnd.oai.openapi+json"
        assert response.headers["x-content-type-options"] == "nosniff"
    assert not [path for path in responses[0].json()["paths"] if path == "/" or path.startswith("/static")]
    assert client.get("/schema/openapi.yaml").status_code == 200


@pytest.mark.parametrize("prefix", ["", "/llm"])  # which a proxy takes off the path, or leaves in it
def test_below_a_root_path_all_is_served_and_the_document_names_it(below: Client, prefix: str) -> None:
    for path in ("/", "/static/style.css", "/health", "/v1/models/llm/llm", "/models"):
        assert below.get(f"{prefix}{path}", follow_redirects=False).status_code == 200
    assert below.get(f"{prefix}/schema/openapi.json").json()["servers"] == [{"url": "/llm"}]
    assert "url: /llm\n" in below.get(f"{prefix}/schema/openapi.yaml").text
    expected = "GET /llm/nope is not served here; /llm/schema lists what is."
    assert error_of(below.get(f"{prefix}/nope"))["message"] == expected


def test_the_page_without_its_slash_is_redirected_as_its_addresses_are_relative(below: Client) -> None:
    response = below.get("/llm", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (302, "/llm/")
    assert below.get("/llmx/health").status_code == 404


@pytest.mark.parametrize("setting", ["", "/llm"])
def test_a_root_path_that_is_an_option_of_the_server_is_one_as_well(setting: str) -> None:
    with TestClient(create_app(settings=Settings(root_path=RootPath(setting))), root_path="/llm") as client:
        assert client.get("/llm/v1/models").status_code == 200
        assert client.get("/llm/schema/openapi.json").json()["servers"] == [{"url": "/llm"}]
