"""Random, valid values: one factory for each schema.

A keyword given to `build` replaces a random value: `MessageFactory.build(content="Hello!")`.
"""

from typing import TypeVar

from msgspec import Struct
from polyfactory.factories.msgspec_factory import MsgspecFactory

from schemas.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    Choice,
    ChunkChoice,
    Delta,
    FunctionCall,
    FunctionCallDelta,
    Message,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from schemas.errors import ErrorObject, ErrorResponse
from schemas.models import Model, ModelList

T = TypeVar("T", bound=Struct)


class StructFactory(MsgspecFactory[T]):
    """What the factories share: the same values in each run of the tests."""

    __is_base_factory__ = True
    __random_seed__ = 1


class ChatCompletionRequestFactory(StructFactory[ChatCompletionRequest]):
    __model__ = ChatCompletionRequest


class FunctionCallFactory(StructFactory[FunctionCall]):
    __model__ = FunctionCall

    arguments = '{"city": "Paris"}'


class ToolCallFactory(StructFactory[ToolCall]):
    __model__ = ToolCall

    function = FunctionCallFactory


class MessageFactory(StructFactory[Message]):
    __model__ = Message


class UsageFactory(StructFactory[Usage]):
    __model__ = Usage

    total_tokens = -1  # the sum


class ChoiceFactory(StructFactory[Choice]):
    __model__ = Choice

    index = 0
    message = MessageFactory


class ChatCompletionFactory(StructFactory[ChatCompletion]):
    __model__ = ChatCompletion

    usage = UsageFactory

    @classmethod
    def choices(cls) -> list[Choice]:
        return [ChoiceFactory.build()]


class FunctionCallDeltaFactory(StructFactory[FunctionCallDelta]):
    __model__ = FunctionCallDelta


class ToolCallDeltaFactory(StructFactory[ToolCallDelta]):
    __model__ = ToolCallDelta

    index = 0
    function = FunctionCallDeltaFactory


class DeltaFactory(StructFactory[Delta]):
    __model__ = Delta


class ChunkChoiceFactory(StructFactory[ChunkChoice]):
    __model__ = ChunkChoice

    index = 0
    delta = DeltaFactory


class ChatCompletionChunkFactory(StructFactory[ChatCompletionChunk]):
    __model__ = ChatCompletionChunk

    @classmethod
    def choices(cls) -> list[ChunkChoice]:
        return [ChunkChoiceFactory.build()]


class ModelFactory(StructFactory[Model]):
    __model__ = Model


class ModelListFactory(StructFactory[ModelList]):
    __model__ = ModelList


class ErrorObjectFactory(StructFactory[ErrorObject]):
    __model__ = ErrorObject


class ErrorResponseFactory(StructFactory[ErrorResponse]):
    __model__ = ErrorResponse

    error = ErrorObjectFactory
