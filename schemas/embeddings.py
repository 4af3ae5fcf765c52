"""The request for embeddings, the embeddings, and what an embedder returns.

Declared request fields are checked; undeclared ones pass to the service unchanged.
Source: https://platform.openai.com/docs/api-reference/embeddings
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError

from schemas.chat import Json, Request

Text = Annotated[str, Meta(min_length=1)]
Token = Annotated[int, Meta(ge=0)]
Tokens = Annotated[list[Token], Meta(min_length=1)]
Inputs: TypeAlias = list[str] | list[list[int]]


class EmbeddingRequest(Request):
    """Request for the embeddings of a text or of several; a text may also be a list of tokens."""

    model: Annotated[str, Meta(min_length=1, examples=["wordllama"])]
    input: Text | Annotated[list[Text | Token | Tokens], Meta(min_length=1)]
    encoding_format: Literal["float", "base64"] | UnsetType | None = UNSET
    dimensions: Annotated[int, Meta(ge=1)] | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET

    @classmethod
    def from_body(cls, body: Json) -> Self:
        """Check a parsed body; the items of its input must be of one type."""
        request = super().from_body(body)
        if isinstance(request.input, list):
            first = type(request.input[0])
            for position, item in enumerate(request.input):
                if type(item) is not first:
                    expected, got = _NAMES[first], _NAMES[type(item)]
                    raise ValidationError(f"Expected `{expected}`, got `{got}` - at `$.input[{position}]`")
        return request

    @property
    def inputs(self) -> Inputs:
        """The texts, or the lists of tokens."""
        given: Any = self.input
        return [given] if isinstance(given, str) or isinstance(given[0], int) else given


_NAMES = {str: "str", int: "int", list: "array"}


class Embeddings(Struct, frozen=True):
    """What an embedder returns that counts tokens; others return the vectors alone.

    Args:
        vectors: A vector for each input.
        prompt_tokens: The number of tokens of each input, or of all of them.
    """

    vectors: Any
    prompt_tokens: Sequence[int] | int = 0


class Embedding(Struct, kw_only=True):
    """Vector of one input: numbers, or little-endian 32-bit floats in Base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Struct, kw_only=True):
    """Numbers of tokens, 0 if the embedder reports none."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingList(Struct, kw_only=True):
    """Embeddings, in the order of the inputs."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
