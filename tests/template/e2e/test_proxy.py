"""Behind a real nginx, configured as `docs/production.md` says: below a path, which it takes off or leaves."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest
from playwright.sync_api import expect
from websockets.sync.client import connect

from tests.conftest import PATIENCE, ROOT, until
from tests.template.e2e.conftest import CHROMIUM, Open, ask
from tests.template.e2e.redis import free_port
from tests.template.e2e.server import SERVING, Server

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="there is no nginx: apt-get install nginx")
MAIN = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
access_log off; {temporary}
{document}
}}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("proxied") / "log", app=SERVING, ROOT_PATH="/llm") as server:
        yield server


@pytest.fixture(scope="module", params=["taken off", "left in", "not known to the server"])
def below(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address below which nginx serves it."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    path = "/other" if request.param == "not known to the server" else "/llm"
    (document,) = re.findall(r"```nginx\n(.+?)```", (ROOT / "docs/production.md").read_text(), re.DOTALL)
    document = document.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(
        "location /llm/", f"location {path}/"
    )
    address = f"http://127.0.0.1:{server.port}"
    document = document.replace("http://127.0.0.1:8000/", address + ("" if request.param == "left in" else "/"))
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in names)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, temporary=temporary, document=document))
    nginx = subprocess.Popen([str(NGINX), "-p", folder, "-c", folder / "nginx.conf"])  # noqa: S603 - our own command
    try:
        until(lambda: nginx.poll() is not None or (folder / "pid").exists())
        yield f"http://127.0.0.1:{port}{path}"
    finally:
        nginx.terminate()
        nginx.wait(PATIENCE)


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_asks_streams_and_shows_the_address_of_the_api(
    visit: Open, server: Server, below: str, key: str
) -> None:
    page = visit(SimpleNamespace(url=below))

    answer = ask(page, "gated-async-generator", key)
    expect(answer.locator(".text")).to_have_text("first")
    server.open_gate(key)
    expect(answer.locator(".text")).to_have_text("first second")

    for language, address in {"curl": f"{below}/v1/chat/completions", "Python": f'base_url="{below}/v1"'}.items():
        page.get_by_role("button", name=f"Copy as {language}").click()
        expect(page.locator("#snippet")).to_contain_text(address)
        page.get_by_role("button", name="Close").click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="OpenAPI").click()
    assert opened.value.url == f"{below}/schema/openapi.json"


def test_programs_stream_leave_send_large_bodies_and_open_a_websocket(server: Server, below: str, key: str) -> None:
    assert httpx.get(below, follow_redirects=True).headers["content-type"].startswith("text/html")
    assert httpx.get(f"{below}/schema/openapi.json").json()["servers"] == [{"url": "/llm"}]
    body = {"model": "gated-async-generator", "messages": [{"role": "user", "content": key}], "stream": True}
    with httpx.stream("POST", f"{below}/v1/chat/completions", json=body, timeout=PATIENCE) as response:
        assert next(response.iter_lines()).startswith("data: ")
    assert server.wait_for(key, "closed") == ["started", "closed"]

    large = {"model": "function", "messages": [{"role": "user", "content": "x" * 19_000_000}]}
    assert httpx.post(f"{below}/v1/chat/completions", json=large, timeout=PATIENCE).status_code == 200
    with connect(f"{below}/v1/responses".replace("http", "ws"), open_timeout=PATIENCE) as socket:
        socket.send('{"type": "response.create", "model": "function", "input": "Hello!"}')
        assert '"response.created"' in str(socket.recv(PATIENCE))
