"""The clients that ask for embeddings, and Haystack's embedders as models, with a real server."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import httpx
import numpy as np
import pytest
from haystack import Document, component
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.utils import Secret
from openai import APIStatusError, AsyncOpenAI, BadRequestError, OpenAI

from app.haystack.embedder import haystack_embedder
from app.keys import Keys
from app.registry import Pipelines
from schemas.embeddings import Embeddings
from tests.conftest import KEY, PATIENCE, live

TEXTS = ["a", "bcd", "ef"]
models = Pipelines()


def vector(text: str) -> list[float]:
    return [len(text) / 8, -0.5, 3.0]


@models.embedder("numbers")
async def numbers(texts: list[str], dimensions: int | None = None) -> Embeddings:
    return Embeddings([vector(text)[:dimensions] for text in texts], [len(text) for text in texts])


@models.embedder("arrays", batch=2)
def arrays(texts: list[str]) -> Any:
    return np.array([vector(text) for text in texts], dtype="f4")


@component
class Plain:
    """A text embedder that reports nothing."""

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        if text == "fail":
            raise ValueError("secret")
        return {"embedding": vector(text)}


models.embedder("plain-component")(haystack_embedder(Plain()))


@pytest.fixture(scope="module")
def openai() -> Iterator[OpenAI]:
    with live(models, api_keys=Keys.parse(KEY)) as client:
        yield client


def by_openai(client: OpenAI, texts: Sequence[str]) -> list[list[float]]:
    return [each.embedding for each in client.embeddings.create(model="numbers", input=[*texts]).data]


def by_openai_async(client: OpenAI, texts: Sequence[str]) -> list[list[float]]:
    async def ask() -> list[list[float]]:
        async with AsyncOpenAI(base_url=client.base_url, api_key=KEY, max_retries=0) as asking:
            answer = await asking.embeddings.create(model="arrays", input=[*texts], encoding_format="float")
            return [each.embedding for each in answer.data]

    return asyncio.run(ask())


def by_langchain(client: OpenAI, texts: Sequence[str]) -> list[list[float]]:
    langchain = pytest.importorskip("langchain_openai", reason="the group `template` is not installed")
    options = {"base_url": str(client.base_url), "api_key": KEY, "check_embedding_ctx_length": False}
    with httpx.Client(timeout=PATIENCE) as http:  # its own is closed by nobody
        asking = langchain.OpenAIEmbeddings(model="numbers", http_client=http, **options)
        found: list[list[float]] = asking.embed_documents([*texts])
        assert asking.embed_query(texts[0]) == found[0]
    return found


def by_llamaindex(client: OpenAI, texts: Sequence[str]) -> list[list[float]]:
    llamaindex = pytest.importorskip("llama_index.embeddings.openai_like", reason="LlamaIndex is not installed")
    options = {"api_base": str(client.base_url), "api_key": KEY, "max_retries": 0}
    with httpx.Client(timeout=PATIENCE) as http:  # its own is closed by nobody
        asking = llamaindex.OpenAILikeEmbedding("numbers", http_client=http, **options)
        found: list[list[float]] = asking.get_text_embedding_batch([*texts])
        assert asking.get_query_embedding(texts[0]) == found[0]
    return found


def by_haystack(client: OpenAI, texts: Sequence[str]) -> list[list[float]]:
    options: dict[str, Any] = {
        "api_key": Secret.from_token(KEY),
        "model": "numbers",
        "api_base_url": str(client.base_url),
        "max_retries": 0,
    }
    of_documents, of_texts = OpenAIDocumentEmbedder(**options), OpenAITextEmbedder(**options)
    with closing(of_documents), closing(of_texts):
        documents = of_documents.run([Document(content=text) for text in texts])
        query = of_texts.run(texts[0])
    found = [document.embedding or [] for document in documents["documents"]]
    assert (query["embedding"], query["meta"]["usage"]) == (found[0], {"prompt_tokens": 1, "total_tokens": 1})
    assert documents["meta"]["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    return found


def by_open_webui(client: OpenAI, texts: Sequence[str]) -> list[list[float]]:
    """Ask in Open WebUI's form, which may put a prefix of the texts into a field of its own."""
    response = httpx.post(
        f"{str(client.base_url).rstrip('/')}/embeddings",
        headers={"Authorization": f"Bearer {KEY}", "X-OpenWebUI-User-Name": "Ann"},
        json={"input": [*texts], "model": "numbers", "prefix": "query: "},
        timeout=PATIENCE,
    )
    return [each["embedding"] for each in response.raise_for_status().json()["data"]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pydantic.warnings.PydanticDeprecatedSince20")
@pytest.mark.parametrize(
    "asked",
    [by_openai, by_openai_async, by_langchain, by_llamaindex, by_haystack, by_open_webui],
    ids=lambda by: by.__name__,
)
def test_each_client_gets_the_vectors_of_its_texts(openai: OpenAI, asked: Callable[..., list[list[float]]]) -> None:
    assert asked(openai, TEXTS) == [vector(text) for text in TEXTS]


def test_the_client_of_openai_gets_dimensions_and_usage_and_reads_an_error(openai: OpenAI) -> None:
    answer = openai.embeddings.create(model="numbers", input="abc", dimensions=2)

    assert answer.data[0].embedding == vector("abc")[:2]
    assert (answer.model, answer.usage.prompt_tokens, answer.usage.total_tokens) == ("numbers", 3, 3)
    with pytest.raises(BadRequestError, match="takes texts, not tokens"):
        openai.embeddings.create(model="numbers", input=[[1, 2], [3]])


@pytest.mark.parametrize("embedder", [OpenAIDocumentEmbedder, OpenAITextEmbedder])
def test_a_haystack_embedder_is_a_model(openai: OpenAI, embedder: Any) -> None:
    """The component asks the other server, as an upstream."""
    upstream = Pipelines()
    key, url = Secret.from_token(KEY), str(openai.base_url)
    upstream.embedder("good")(haystack_embedder(embedder(key, "numbers", api_base_url=url, max_retries=0)))
    upstream.embedder("no-key")(
        haystack_embedder(embedder(Secret.from_token("sk-wrong"), "numbers", api_base_url=url, max_retries=0))
    )

    with live(upstream) as client:
        answer = client.embeddings.create(model="good", input=["abc", "a", "abc"])
        with pytest.raises(APIStatusError) as raised:
            client.embeddings.create(model="no-key", input="abc")

    assert [each.embedding for each in answer.data] == [vector(text) for text in ("abc", "a", "abc")]
    assert answer.usage.prompt_tokens == 7
    assert "sk-wrong" not in str(raised.value)


def test_a_component_that_is_sync_and_reports_nothing_is_a_model_too(openai: OpenAI) -> None:
    answer = openai.embeddings.create(model="plain-component", input=TEXTS)

    assert [each.embedding for each in answer.data] == [vector(text) for text in TEXTS]
    assert answer.usage.prompt_tokens == 0
    with pytest.raises(APIStatusError, match="The server had an error"):
        openai.embeddings.create(model="plain-component", input="fail")
