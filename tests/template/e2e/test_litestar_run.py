import subprocess
from pathlib import Path

import httpx
import pytest

from tests.template.e2e.clients import client_of, says
from tests.template.e2e.patience import PATIENCE
from tests.template.e2e.server import ROOT, Server, environment, litestar

WRONG = [("KEEP_ALIVE_INTERVAL", "soon"), ("REASONING_FIELD", "thoughts")]


def test_litestar_run_finds_the_application_by_itself(shipped: Server) -> None:
    with client_of(shipped) as client:
        completion = client.chat.completions.create(model="echo", messages=says("Hello!"))

    assert completion.choices[0].message.content == "Hello!"
    assert "Application startup complete" in shipped.log


def test_the_documentation_shows_both_forms_of_the_answer(shipped: Server) -> None:
    schema = httpx.get(f"{shipped.url}/schema/openapi.json").raise_for_status().json()

    answer = schema["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]
    assert answer["content"].keys() == {"application/json", "text/event-stream"}


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_a_wrong_setting_ends_it_with_a_sentence_that_names_the_variable(variable: str, value: str) -> None:
    ended = subprocess.run(  # noqa: S603 - our own command
        litestar("run", "--port", "0"),
        cwd=ROOT,
        env=environment({variable: value}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert ended.returncode != 0
    assert variable in ended.stdout
    assert value in ended.stdout
    assert "Traceback" not in ended.stdout


def test_settings_of_the_environment_are_used(tmp_path: Path) -> None:
    with Server(tmp_path / "log", settings={"OWNED_BY": "acme"}) as server:
        assert {model["owned_by"] for model in server.models()} == {"acme"}
