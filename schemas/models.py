"""The models that a server offers, as `GET /v1/models` lists them."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class Model(Struct, kw_only=True, frozen=True):
    """A model: `created` in Unix seconds.

    What a service leaves unset is filled in before it is sent: `created` by the start of the
    server, `owned_by` by the setting of that name.
    """

    id: str
    object: Literal["model"] = "model"
    created: int | UnsetType = UNSET
    owned_by: str | UnsetType = UNSET


class ModelList(Struct, kw_only=True, frozen=True):
    """All models of the server."""

    object: Literal["list"] = "list"
    data: list[Model]
