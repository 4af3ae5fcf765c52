"""The models that a service lists, by name or in full."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from app.engine.engine import Engine, Limits, ModelDefaults
from app.services import ModelService
from schemas.chat import Json
from schemas.models import Model
from tests.conftest import Serve, ask, message_of
from tests.factories import ModelFactory

LIMITS = Limits(concurrent=1, sync_workers=1, timeout=0, keep_alive=0, finish_without_client=False)
ENGINE = Engine(LIMITS, (), defaults=ModelDefaults("me", 7))
LISTED: list[str | Model] = ["plain", Model(id="a/b", owned_by="me"), Model(id="old", created=7)]


def listing(listed: Any) -> ModelService:
    service: Any = SimpleNamespace(list_models=lambda: listed)
    assert isinstance(service, ModelService)
    return service


def sync_list() -> list[str | Model]:
    return LISTED


async def async_list() -> list[str | Model]:
    return LISTED


def sync_tuple() -> tuple[str | Model, ...]:
    return tuple(LISTED)


@pytest.mark.parametrize("list_models", [sync_list, async_list, sync_tuple])
def test_models_may_be_names_or_whole_and_listed_sync_or_async(serve: Serve, list_models: Callable[[], Any]) -> None:
    service = SimpleNamespace(list_models=list_models, complete=lambda model, messages, body: model)
    client = serve(service)

    body: Json = client.get("/v1/models").json()

    assert body["object"] == "list"
    assert [(model["id"], model["object"], model["owned_by"]) for model in body["data"]] == [
        ("plain", "model", "custom"),
        ("a/b", "model", "me"),
        ("old", "model", "custom"),
    ]
    assert body["data"][2]["created"] == 7
    for model in ("plain", "a/b", "old"):
        assert message_of(ask(client, model=model))["content"] == model


@pytest.mark.anyio
async def test_a_whole_model_is_not_changed() -> None:
    models = [ModelFactory.build(created=8, owned_by="another") for _ in range(3)]

    assert await ENGINE.list_models(listing(models)) == models


@pytest.mark.anyio
async def test_what_a_model_leaves_out_is_filled_in_the_same_way_each_time() -> None:
    service = listing(["a"])

    (first,), (second,) = [await ENGINE.list_models(service) for _ in range(2)]

    assert first == second
    assert (first.owned_by, first.created) == ("me", 7)


@pytest.mark.anyio
async def test_a_service_may_list_none() -> None:
    assert await ENGINE.list_models(listing([])) == []


@pytest.mark.anyio
async def test_fields_of_a_subclass_of_model_are_kept() -> None:
    class Priced(Model, kw_only=True, frozen=True):
        price: float

    (model,) = await ENGINE.list_models(listing([Priced(id="a", price=1.5)]))

    assert isinstance(model, Priced)
    assert (model.price, model.owned_by) == (1.5, "me")
