import pytest
from openai import AsyncOpenAI, NotFoundError, OpenAI

from app.pipelines import pipelines
from tests.template.e2e.clients import client_of, says
from tests.template.e2e.server import Server


def test_the_project_lists_the_models_it_ships_with(shipped_client: OpenAI) -> None:
    assert {"echo", "echo-stream"} <= {model.id for model in shipped_client.models.list()} <= set(pipelines.models)


def test_a_listed_model_tells_who_owns_it_and_when_it_was_made(client: OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}

    assert listed["generator"].owned_by == "the tests"
    assert listed["generator"].created == 1700000000
    assert listed["function"].owned_by == "custom"


def test_when_a_model_was_made_does_not_change_between_calls(client: OpenAI) -> None:
    assert client.models.list().data == client.models.list().data


@pytest.mark.parametrize("name", ["function", "organisation/model"])
def test_a_model_is_retrieved_by_its_name(client: OpenAI, name: str) -> None:
    model = client.models.retrieve(name)

    assert model in client.models.list().data
    assert model.id == name


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.models.retrieve("organisation/none")

    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "organisation/model" in caught.value.message


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_a_base_url_does_with_and_without_the_version(server: Server, path: str) -> None:
    with client_of(server, path) as client:
        assert client.models.list().data
        assert client.models.retrieve("organisation/model").id == "organisation/model"
        completion = client.chat.completions.create(model="function", messages=says("Hello!"))
        assert completion.choices[0].message.content == "Hello, world"


@pytest.mark.anyio
async def test_the_async_client_lists_and_retrieves(async_client: AsyncOpenAI) -> None:
    listed = [model async for model in async_client.models.list()]

    assert await async_client.models.retrieve("organisation/model") in listed
