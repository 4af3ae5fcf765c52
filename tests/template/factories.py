"""Factories of the schemas that only the template's own tests use."""

from schemas.chat import (
    ChatCompletionChunk,
    ChunkChoice,
    Delta,
    FunctionCall,
    FunctionCallDelta,
    Message,
    ToolCall,
    ToolCallDelta,
)
from schemas.errors import ErrorObject, ErrorResponse
from schemas.models import ModelList
from tests.factories import StructFactory


class FunctionCallFactory(StructFactory[FunctionCall]):
    __model__ = FunctionCall

    arguments = '{"city": "Paris"}'


class ToolCallFactory(StructFactory[ToolCall]):
    __model__ = ToolCall

    function = FunctionCallFactory


class MessageFactory(StructFactory[Message]):
    __model__ = Message


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


class ModelListFactory(StructFactory[ModelList]):
    __model__ = ModelList


class ErrorObjectFactory(StructFactory[ErrorObject]):
    __model__ = ErrorObject


class ErrorResponseFactory(StructFactory[ErrorResponse]):
    __model__ = ErrorResponse

    error = ErrorObjectFactory
