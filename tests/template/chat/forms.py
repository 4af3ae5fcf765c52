"""What a service may say, and the forms of item in which it may say it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeAlias

from msgspec import UNSET, convert
from openai.types.chat import ChatCompletion as OpenAICompletion
from openai.types.chat import ChatCompletionChunk as OpenAIChunk

from schemas.chat import ChatCompletion, ChatCompletionChunk, Delta, ToolCallDelta, Usage

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A piece of the tool call that its source counts as `number`."""

    number: int
    name: str | None
    arguments: str
    id: str | None


@dataclass(frozen=True)
class Part:
    """What an item says in one of the answers."""

    content: str = ""
    reasoning: str = ""
    refusal: str = ""
    note: str = ""  # a field that OpenAI does not have
    calls: tuple[Call, ...] = ()
    finish_reason: str | None = None


@dataclass(frozen=True)
class Said:
    """What an item says: in its answers by their index, of usage, and beside both."""

    parts: dict[int, Part] = field(default_factory=dict)
    usage: Json | None = None
    event: Json | None = None

    @property
    def part(self) -> Part:
        """What is said in the first answer, the only one that most forms have."""
        return self.parts.get(0, Part())


Form: TypeAlias = Callable[[Said], object]


class Event:
    def __init__(self, event: Json) -> None:
        self._event = event

    def to_event_dict(self) -> Json:
        return self._event


def text(said: Said) -> object:
    return said.part.content


class Markup(str):
    """Text that has another form when it is formatted."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"<{self.upper()}>"


def markup(said: Said) -> object:
    return Markup(said.part.content)


def mapped_object(said: Said) -> object:
    return SimpleNamespace(content=said.part.content)


def delta(said: Said) -> object:
    return Delta(
        content=said.part.content or UNSET,
        reasoning_content=said.part.reasoning or UNSET,
        refusal=said.part.refusal or UNSET,
        tool_calls=[convert(_call(call), ToolCallDelta) for call in said.part.calls] or UNSET,
    )


def usage(said: Said) -> object:
    return convert(said.usage, Usage)


def event(said: Said) -> object:
    return Event(said.event or {})


def chunk_dict(said: Said) -> Json:
    choices = [
        {
            "index": index,
            "delta": _message(part) | _given(tool_calls=[_call(call) for call in part.calls]),
            "finish_reason": part.finish_reason,
        }
        for index, part in said.parts.items()
    ]
    return {"object": "chat.completion.chunk", "choices": choices} | _given(usage=said.usage)


def unnumbered_chunk(said: Said) -> Json:
    """A chunk with nulls, whose calls are whole and have neither id nor index."""
    calls = [{"index": None, **_whole_call(call), "id": None} for call in said.part.calls]
    message = {"role": None, "content": None, "refusal": None} | _message(said.part) | {"tool_calls": calls or None}
    choices = [{"index": None, "delta": message, "finish_reason": said.part.finish_reason, "logprobs": None}]
    return {"id": None, "model": None, "choices": choices, "usage": said.usage}


def chunk(said: Said) -> object:
    return convert(chunk_dict(said), ChatCompletionChunk)


def chunk_of_openai(said: Said) -> object:
    return OpenAIChunk.model_validate({"id": "", "created": 0, "model": "", **chunk_dict(said)})


def streaming_chunk(said: Said) -> object:
    """Haystack's, by its attributes."""
    reasoning = SimpleNamespace(reasoning_text=said.part.reasoning) if said.part.reasoning else None
    return SimpleNamespace(
        content=said.part.content,
        reasoning=reasoning,
        tool_calls=[_haystack_call(call) for call in said.part.calls] or None,
        finish_reason=said.part.finish_reason,
        meta=_given(usage=said.usage),
    )


def completion_dict(said: Said) -> Json:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": None}
            | _message(part)
            | _given(tool_calls=[_whole_call(call) for call in part.calls]),
            "finish_reason": part.finish_reason,
        }
        for index, part in said.parts.items()
    ]
    return {"object": "chat.completion", "choices": choices} | _given(usage=said.usage)


def completion(said: Said) -> object:
    return convert(completion_dict(said), ChatCompletion)


def completion_of_openai(said: Said) -> object:
    return OpenAICompletion.model_validate({"id": "", "created": 0, "model": "", **completion_dict(said)})


def chat_message(said: Said) -> object:
    """Haystack's, by its attributes."""
    return SimpleNamespace(
        text=said.part.content or None,
        reasoning=SimpleNamespace(reasoning_text=said.part.reasoning) if said.part.reasoning else None,
        tool_calls=[_haystack_call(call) for call in said.part.calls],
        meta=_given(finish_reason=said.part.finish_reason, usage=said.usage),
    )


WHOLE = (completion_dict, completion, completion_of_openai, chat_message)
WHOLE_CALLS = (*WHOLE, unnumbered_chunk)


def bare(value: Any) -> Any:
    """A value without what is empty, and without ids and indices."""
    if isinstance(value, dict):
        parts = {name: bare(part) for name, part in value.items() if name not in ("id", "index")}
        return {name: part for name, part in parts.items() if part not in (None, "", [], {})}
    return [bare(part) for part in value] if isinstance(value, list) else value


def _message(part: Part) -> Json:
    return _given(content=part.content, reasoning_content=part.reasoning, refusal=part.refusal, note=part.note)


def _call(call: Call) -> Json:
    function = {"arguments": call.arguments} | _given(name=call.name)
    return {"index": call.number, "function": function} | (_given(id=call.id, type="function") if call.id else {})


def _whole_call(call: Call) -> Json:
    return {"id": call.id or "", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _haystack_call(call: Call) -> object:
    return SimpleNamespace(index=call.number, id=call.id, tool_name=call.name, arguments=call.arguments)


def _given(**values: object) -> Json:
    return {name: value for name, value in values.items() if value}
