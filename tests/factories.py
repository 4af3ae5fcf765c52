"""Random, valid values, the same in each run: one factory for each schema that the tests build."""

from typing import TypeVar

from msgspec import UNSET, Struct
from polyfactory.factories.msgspec_factory import MsgspecFactory

from schemas.chat import ChatCompletion, ChatCompletionRequest, Choice, Usage
from schemas.models import Model

T = TypeVar("T", bound=Struct)


class StructFactory(MsgspecFactory[T]):
    __is_base_factory__ = True
    __random_seed__ = 1


class ChatCompletionRequestFactory(StructFactory[ChatCompletionRequest]):
    __model__ = ChatCompletionRequest


class UsageFactory(StructFactory[Usage]):
    __model__ = Usage

    total_tokens = UNSET  # the sum of the others


class ChoiceFactory(StructFactory[Choice]):
    __model__ = Choice

    index = 0


class ChatCompletionFactory(StructFactory[ChatCompletion]):
    __model__ = ChatCompletion

    usage = UsageFactory

    @classmethod
    def choices(cls) -> list[Choice]:
        return [ChoiceFactory.build()]


class ModelFactory(StructFactory[Model]):
    __model__ = Model
