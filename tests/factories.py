"""Random, valid values, the same in each run: one factory for each schema that the tests build."""

from typing import TypeVar

from msgspec import UNSET, Struct
from polyfactory import Use
from polyfactory.factories.msgspec_factory import MsgspecFactory

from schemas.chat import ChatCompletion, ChatCompletionRequest, Choice, Usage
from schemas.models import Model

T = TypeVar("T", bound=Struct)


class StructFactory(MsgspecFactory[T]):
    __is_base_factory__ = True
    __random_seed__ = 1


ChatCompletionRequestFactory = StructFactory.create_factory(ChatCompletionRequest)
UsageFactory = StructFactory.create_factory(Usage, total_tokens=UNSET)  # which is the sum of the others
ChoiceFactory = StructFactory.create_factory(Choice, index=0)
ChatCompletionFactory = StructFactory.create_factory(
    ChatCompletion, usage=UsageFactory, choices=Use(lambda: [ChoiceFactory.build()])
)
ModelFactory = StructFactory.create_factory(Model)
