"""The models that a service lists, by name or in full."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.chat import Json
from schemas.models import Model
from tests.conftest import Serve, ask, message_of


class Priced(Model, kw_only=True, frozen=True):
    price: float


LISTED: list[str | Model] = ["plain", Model(id="a/b", owned_by="me"), Model(id="old", created=7)]
LISTED += [Priced(id="full", created=8, owned_by="another", price=1.5)]


async def list_models_async() -> list[str | Model]:
    return LISTED


@pytest.mark.parametrize("list_models", [lambda: LISTED, list_models_async], ids=["sync", "async"])
def test_models_are_listed_by_name_or_in_full_and_what_is_left_out_is_filled_in(
    serve: Serve, list_models: Callable[[], Any]
) -> None:
    service = SimpleNamespace(list_models=list_models, complete=lambda model, messages, body: model)
    client = serve(service, owned_by="the owner")

    body: Json = client.get("/v1/models").json()

    created = body["data"][0]["created"]
    assert body == {
        "object": "list",
        "data": [
            {"id": "plain", "object": "model", "created": created, "owned_by": "the owner"},
            {"id": "a/b", "object": "model", "created": created, "owned_by": "me"},
            {"id": "old", "object": "model", "created": 7, "owned_by": "the owner"},
            {"id": "full", "object": "model", "created": 8, "owned_by": "another", "price": 1.5},
        ],
    }
    assert [client.get(f"/v1/models/{model['id']}").json() for model in body["data"]] == body["data"]
    for model in ("plain", "a/b", "old", "full"):
        assert message_of(ask(client, model=model))["content"] == model
