"""Random items in all forms that a service may use, and the completion that a list of them says."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, TypeAlias

from hypothesis import strategies as st
from msgspec import convert
from openai.types.chat import ChatCompletion as OpenAICompletion
from openai.types.chat import ChatCompletionChunk as OpenAIChunk

from schemas.chat import ChatCompletion, ChatCompletionChunk, Delta, Json, Usage

TEXTS = ("content", "reasoning_content", "refusal", "note")  # OpenAI does not have the last


@dataclass(frozen=True)
class Said:
    """What an item says: in its answers by their index, each a delta with its finish reason; of usage; beside both."""

    parts: dict[int, Json] = field(default_factory=dict)
    usage: Json | None = None
    event: Json | None = None

    @property
    def part(self) -> Json:
        """What is said in the first answer, the only one that most forms have."""
        return self.parts.get(0, {})


Form: TypeAlias = Callable[[Said], object]


def call(index: int, name: str | None, arguments: str, id: str | None) -> Json:
    """Return a piece of the tool call that its source counts as `index`."""
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"index": index, "function": function} | ({"id": id, "type": "function"} if id else {})


def text(said: Said) -> object:
    return said.part.get("content", "")


class Markup(str):
    """Text that has another form when it is formatted, as MarkupSafe's."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"<{self.upper()}>"


def mapped_object(said: Said) -> object:
    return SimpleNamespace(content=text(said))


def delta(said: Said) -> object:
    return convert(_delta(said.part), Delta)


def event(said: Said) -> object:
    return SimpleNamespace(to_event_dict=lambda: said.event)


def chunk_dict(said: Said) -> Json:
    return _answers(said, lambda part: {"delta": part})


def unnumbered_chunk(said: Said) -> Json:
    """Return a chunk with nulls, whose calls are whole and have neither id nor index."""
    calls = [{**call, "index": None, "id": None} for call in _whole_calls(said.part).get("tool_calls", ())]
    delta = {"role": None, "content": None, "refusal": None} | _delta(said.part) | {"tool_calls": calls or None}
    choice = {"index": None, "delta": delta, "finish_reason": said.part.get("finish_reason"), "logprobs": None}
    return {"id": None, "model": None, "choices": [choice], "usage": said.usage}


def chunk(said: Said) -> object:
    return convert(chunk_dict(said), ChatCompletionChunk)


def completion_dict(said: Said) -> Json:
    empty = {"role": "assistant", "content": None}
    return _answers(said, lambda part: {"message": empty | part | _whole_calls(part)})


def completion(said: Said) -> object:
    return convert(completion_dict(said), ChatCompletion)


def completion_of_openai(said: Said) -> object:
    return OpenAICompletion.model_validate({**UPSTREAM, "object": "chat.completion", **completion_dict(said)})


def streaming_chunk(said: Said) -> object:
    """Return an object with the attributes of Haystack's chunk."""
    return SimpleNamespace(content=text(said), finish_reason=said.part.get("finish_reason"), **_of_haystack(said))


def chat_message(said: Said) -> object:
    """Return an object with the attributes of Haystack's message."""
    message = SimpleNamespace(text=text(said) or None, **_of_haystack(said))
    message.meta["finish_reason"] = said.part.get("finish_reason")
    return message


WHOLE_CALLS = (completion_dict, completion, completion_of_openai, chat_message, unnumbered_chunk)
UPSTREAM = {"id": "", "created": 0, "model": ""}


def _delta(part: Json) -> Json:
    return {name: value for name, value in part.items() if name != "finish_reason"}


def _answers(said: Said, content: Callable[[Json], Json]) -> Json:
    choices = [
        {"index": index, **content(_delta(part)), "finish_reason": part.get("finish_reason")}
        for index, part in said.parts.items()
    ]
    return {"choices": choices} | ({"usage": said.usage} if said.usage else {})


def _whole_calls(part: Json) -> Json:
    calls = part.get("tool_calls", ())
    whole = [{"id": call.get("id", ""), "type": "function", "function": call["function"]} for call in calls]
    return {"tool_calls": whole} if whole else {}


def _of_haystack(said: Said) -> Json:
    reasoning = said.part.get("reasoning_content")
    return {
        "reasoning": SimpleNamespace(reasoning_text=reasoning) if reasoning else None,
        "tool_calls": [_haystack_call(call) for call in said.part.get("tool_calls", ())],
        "meta": {"usage": said.usage} if said.usage else {},
    }


def _haystack_call(call: Json) -> object:
    function = {"tool_name": call["function"].get("name"), "arguments": call["function"]["arguments"]}
    return SimpleNamespace(index=call["index"], id=call.get("id"), **function)


@dataclass(frozen=True)
class Sample:
    """What an item says, and the form in which it says it."""

    said: Said
    form: Form

    @property
    def item(self) -> object:
        return self.form(self.said)


def bare(value: Any) -> Any:
    """Return a value without what is empty, and without ids and indices."""
    if isinstance(value, dict):
        parts = {name: bare(part) for name, part in value.items() if name not in ("id", "index")}
        return {name: part for name, part in parts.items() if part not in (None, "", [], {})}
    return [bare(part) for part in value] if isinstance(value, list) else value


def completion_of(samples: Sequence[Sample]) -> Json:
    """Return what all items say together, in the shape of `summary`."""
    texts: dict[int, Json] = {0: {}}
    calls: dict[int, dict[object, Json]] = defaultdict(dict)
    reasons: dict[int, str] = {}
    usage = None
    for sample in samples:
        usage = sample.said.usage or usage
        for index, part in sample.said.parts.items():
            before = texts.get(index, {})
            texts[index] = {name: before.get(name, "") + part.get(name, "") for name in TEXTS}
            reasons |= {index: part["finish_reason"]} if "finish_reason" in part else {}
            for call in part.get("tool_calls", ()):
                key = object() if sample.form in WHOLE_CALLS else call["index"]
                function = calls[index].setdefault(key, {"name": call["function"].get("name"), "arguments": ""})
                function["arguments"] += call["function"]["arguments"]
    choices = []
    for index, message in sorted(texts.items()):
        called = [{"type": "function", "function": function} for function in calls[index].values()]
        reason = reasons.get(index) or ("tool_calls" if called else "stop")
        choices.append({"message": {"role": "assistant", "tool_calls": called, **message}, "finish_reason": reason})
    said: Json = bare({"choices": choices, "usage": usage})
    return said


def samples() -> st.SearchStrategy[list[Sample]]:
    """Lists of items of all forms, in which answers appear in their order, and tool calls with their name."""
    return st.lists(_samples, max_size=6).map(lambda drafts: list(_settled(drafts)))


def whole_samples() -> st.SearchStrategy[Sample]:
    """Whole completions of all forms."""
    return _whole.map(lambda draft: next(_settled([draft])))


def _settled(drafts: Sequence[Sample]) -> Iterator[Sample]:
    """Yield the samples with no answer left out, and each tool call named at least where it begins."""
    answers = 0
    begun: set[str] = set()
    for position, draft in enumerate(drafts):
        parts = {}
        has_whole_calls = draft.form in WHOLE_CALLS
        for index, part in enumerate(draft.said.parts.values(), start=min([answers, *draft.said.parts])):
            scope = f"{position}_{index}" if has_whole_calls else str(index)
            calls = [*_named(part.get("tool_calls", ()), scope, begun, whole=has_whole_calls)]
            parts[index] = part | ({"tool_calls": calls} if calls else {})
            answers = max(answers, index + 1 if part else 0)
        yield replace(draft, said=replace(draft.said, parts=parts))


def _named(calls: Sequence[Json], scope: str, begun: set[str], *, whole: bool) -> Iterator[Json]:
    for position, each in enumerate(calls):
        call_id = f"call_{scope}_{position if whole else each['index']}"
        is_named = "name" in each["function"] or call_id not in begun
        begun.add(call_id)
        name = f"tool_{each['index']}" if is_named else None
        yield call(each["index"], name, each["function"]["arguments"], call_id if "id" in each else None)


def _one(*fields: str) -> st.SearchStrategy[dict[int, Json]]:
    return _part(*fields).map(lambda part: {0: part})


def _several(*fields: str) -> st.SearchStrategy[dict[int, Json]]:
    parts = st.dictionaries(st.integers(0, 2), _part(*fields), min_size=1, max_size=2)
    return parts.map(lambda parts: dict(sorted(parts.items())))


def _part(*fields: str) -> st.SearchStrategy[Json]:
    parts = st.fixed_dictionaries({name.removeprefix("a "): _FIELDS[name] for name in fields})
    return parts.map(lambda part: {name: value for name, value in part.items() if value})


def _formed(form: Form, said: st.SearchStrategy[Said]) -> st.SearchStrategy[Sample]:
    return said.map(lambda said: Sample(said, form))


any_text = st.text(st.sampled_from('ab \n"\\é€😀\u2028\u0085\x00'), max_size=4)
_reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "function_call"])
_repeats = st.sampled_from([None, "again"])  # a name and an id, after the first piece of a call
_calls = st.builds(call, index=st.sampled_from([0, 1, 7]), name=_repeats, arguments=any_text, id=_repeats)
_tokens = st.tuples(st.integers(1, 9), st.integers(0, 9)).map(
    lambda tokens: {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
)
_usage = st.none() | _tokens
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(TEXTS, any_text),
    "tool_calls": st.lists(_calls, max_size=3),
    "finish_reason": st.none() | _reasons,
    "a finish_reason": _reasons,
}
_HAYSTACK = ("content", "reasoning_content", "tool_calls", "finish_reason")
_OPENAI = ("content", "reasoning_content", "refusal", "tool_calls")

_whole = st.one_of(
    _formed(completion, st.builds(Said, _several(*_OPENAI, "a finish_reason"), _usage)),
    _formed(completion_dict, st.builds(Said, _several(*_OPENAI, "note", "finish_reason"), _usage)),
    _formed(completion_of_openai, st.builds(Said, _several(*_OPENAI, "note", "a finish_reason"), _usage)),
    _formed(chat_message, st.builds(Said, _one(*_HAYSTACK), _usage)),
)
_samples = st.one_of(
    *(_formed(form, st.builds(Said, _one("content"))) for form in (text, mapped_object)),
    _formed(lambda said: Markup(text(said)), st.builds(Said, _one("content"))),
    _formed(delta, st.builds(Said, _one(*_OPENAI))),
    _formed(lambda said: convert(said.usage, Usage), st.builds(Said, usage=_tokens)),
    _formed(event, st.builds(Said, event=st.dictionaries(any_text, any_text, max_size=2))),
    _formed(chunk, st.builds(Said, _several(*_OPENAI, "finish_reason"), _usage)),
    _formed(chunk_dict, st.builds(Said, _several(*_OPENAI, "note", "finish_reason"), _usage)),
    _formed(
        lambda said: OpenAIChunk.model_validate({**UPSTREAM, "object": "chat.completion.chunk", **chunk_dict(said)}),
        st.builds(Said, _several(*_OPENAI, "note", "finish_reason"), _usage),
    ),
    _formed(unnumbered_chunk, st.builds(Said, _one(*_OPENAI, "note", "finish_reason"), _usage)),
    _formed(streaming_chunk, st.builds(Said, _one(*_HAYSTACK), _usage)),
    _whole,
)
