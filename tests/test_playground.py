"""Pack `playground`: a page at `/` that asks the models."""

import re

from app.settings import Settings
from tests.conftest import Serve, returning


def test_the_page_and_all_files_that_it_names_are_served_and_may_load_nothing_else(serve: Serve) -> None:
    client = serve(returning("Hello!"))
    page = client.get("/")
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert {path.rpartition(".")[2] for path in files} == {"css", "js", "json", "svg"}
    assert {client.get(f"/{path}").status_code for path in files} == {200}
    assert {client.get(f"/static/{path}").status_code for path in ("nothing.js", "..%2Fplayground.py")} == {404}


def test_the_page_needs_no_key_and_a_setting_leaves_it_out(serve: Serve) -> None:
    keys = Settings.load({"API_KEYS": "sk-mine"}).api_keys
    assert serve(returning("Hello!"), api_keys=keys).get("/").status_code == 200
    assert serve(returning("Hello!"), playground=False).get("/").status_code == 404
