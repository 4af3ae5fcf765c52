"""Pack `local`: a language model in this process."""

import pytest

pytest.importorskip("xllamacpp", reason="needs the extra `local`")

from app.local.models import models
from tests.conftest import Serve, ask, message_of, streamed_text, until


def test_the_model_loads_with_the_server_and_answers_in_both_modes(serve: Serve) -> None:
    client = serve(models)
    until(lambda: client.get("/ready").is_success)
    assert "Paris" in message_of(ask(client, "What is the capital of France?", model="local"))["content"]
    assert "Paris" in streamed_text(ask(client, "What is the capital of France?", model="local", stream=True))
    cut = ask(client, "Write a long story.", model="local", max_tokens=3).json()
    assert (cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"]) == ("length", 3)
