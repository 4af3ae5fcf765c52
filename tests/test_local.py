"""Pack `local`: a language model in this process."""

from typing import Any

import httpx
import pytest

pytest.importorskip("xllamacpp", reason="needs the extra `local`")

from tests.conftest import openai_of, until


def test_the_model_loads_with_the_server_and_answers_in_both_modes(server: httpx.Client) -> None:
    until(lambda: server.get("../ready").is_success)
    completions = openai_of(server).chat.completions
    request: Any = {"model": "local", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
    assert "Paris" in completions.create(**request).choices[0].message.content
    assert "Paris" in "".join(
        chunk.choices[0].delta.content or "" for chunk in completions.create(**request, stream=True)
    )
    cut = completions.create(**request, max_tokens=3).to_dict()
    assert (cut["choices"][0]["finish_reason"], cut["usage"]["completion_tokens"]) == ("length", 3)
