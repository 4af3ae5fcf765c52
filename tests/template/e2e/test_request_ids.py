import re

import httpx
import pytest
from openai import APIStatusError, OpenAI

from tests.template.e2e.clients import says
from tests.template.e2e.connection import chat
from tests.template.e2e.failing import SECRET
from tests.template.e2e.server import Server

PATH = "/v1/chat/completions"
SANE = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
REQUESTS = {
    "models": ("GET", "/v1/models", None),
    "completion": ("POST", PATH, chat("function", "Hello!")),
    "stream": ("POST", PATH, chat("generator", "Hello!", stream=True)),
    "failed stream": ("POST", PATH, chat("crash-after", "Hello!", stream=True)),
    "bad request": ("POST", PATH, {}),
    "unknown model": ("POST", PATH, chat("none", "Hello!")),
    "failed": ("POST", PATH, chat("crash", "Hello!")),
    "unknown path": ("GET", "/nothing", None),
    "wrong method": ("DELETE", PATH, None),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_caller_s_own_id_is_on_every_answer(http: httpx.Client, name: str) -> None:
    method, path, body = REQUESTS[name]

    response = http.request(method, path, json=body, headers={"x-request-id": "My.own_id-1"})

    assert response.headers.get_list("x-request-id") == ["My.own_id-1"]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_without_an_id_gets_a_new_one(http: httpx.Client, name: str) -> None:
    method, path, body = REQUESTS[name]

    ids = [http.request(method, path, json=body).headers["x-request-id"] for _ in range(2)]

    assert ids[0] != ids[1]
    assert all(map(SANE.match, ids))


@pytest.mark.parametrize("insane", ["", "two words", "a" * 129, "semi;colon", "ü", "a\tb"])
def test_an_id_of_another_form_is_replaced(http: httpx.Client, insane: str) -> None:
    response = http.get("/v1/models", headers=[(b"x-request-id", insane.encode())])

    assert response.headers["x-request-id"] != insane
    assert SANE.match(response.headers["x-request-id"])


def test_an_id_may_have_128_characters(http: httpx.Client) -> None:
    response = http.get("/v1/models", headers={"x-request-id": "a" * 128})

    assert response.headers["x-request-id"] == "a" * 128


def test_openai_s_client_shows_the_id_of_an_answer_and_of_an_error(client: OpenAI) -> None:
    completion = client.chat.completions.create(
        model="function", messages=says("Hello!"), extra_headers={"x-request-id": "id-of-an-answer"}
    )
    with pytest.raises(APIStatusError) as caught:
        client.chat.completions.create(
            model="crash", messages=says("Hello!"), extra_headers={"x-request-id": "id-of-an-error"}
        )

    assert completion._request_id == "id-of-an-answer"
    assert caught.value.request_id == "id-of-an-error"


@pytest.mark.parametrize("model", ["crash", "crash-before", "crash-after", "crash-after-sync"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_log_has_the_id_and_the_traceback_of_a_failure(
    server: Server, http: httpx.Client, key: str, model: str, stream: bool
) -> None:
    http.post(PATH, json=chat(model, "Hello!", stream=stream), headers={"x-request-id": key})

    (line,) = server.lines_of(key, "app.errors")
    assert line["message"] == "A request failed"
    assert "Traceback" in line["traceback"]
    assert model.replace("-", "_") in line["traceback"]
    assert SECRET in line["traceback"]


def test_what_a_service_logs_from_its_thread_has_the_id_too(server: Server, http: httpx.Client, key: str) -> None:
    http.post(PATH, json=chat("logs", "Hello!"), headers={"x-request-id": key})

    (line,) = server.lines_of(key, "app.tests")
    assert line["message"] == "The model was asked: Hello!"
