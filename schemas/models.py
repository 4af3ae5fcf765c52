"""The models that a server offers."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType


class Model(Struct, kw_only=True, frozen=True):
    """Model that a request may name; `created` is in Unix seconds.

    The server fills in `created` and `owned_by` if they are unset. The others are not OpenAI's; `type` is set if the
    model is not for chats.
    """

    id: str
    object: Literal["model"] = "model"
    created: int | UnsetType = UNSET
    owned_by: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    type: str | UnsetType = UNSET  # pack: embeddings


class ModelList(Struct, kw_only=True, frozen=True):
    """List of models."""

    object: Literal["list"] = "list"
    data: list[Model]
