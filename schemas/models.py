"""The models that a server offers."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class Model(Struct, kw_only=True, frozen=True):
    """Model that a request may name; `created` is in Unix seconds, and the server fills in fields that are unset."""

    id: str
    object: Literal["model"] = "model"
    created: int | UnsetType = UNSET
    owned_by: str | UnsetType = UNSET


class ModelList(Struct, kw_only=True, frozen=True):
    """List of models."""

    object: Literal["list"] = "list"
    data: list[Model]
