"""Strategies for lists of items, and the completion that each of them says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.template.chat import forms
from tests.template.chat.forms import WHOLE_CALLS, Call, Form, Json, Part, Said, bare

texts = st.text(st.sampled_from('ab \n"\\é€😀\u2028\u0085\x00'), max_size=4)
finish_reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "function_call"])


@dataclass(frozen=True)
class Sample:
    """What an item says, and the form in which it says it."""

    said: Said
    form: Form

    @property
    def item(self) -> object:
        return self.form(self.said)

    @property
    def has_whole_calls(self) -> bool:
        return self.form in WHOLE_CALLS


def samples() -> st.SearchStrategy[list[Sample]]:
    """Lists of items of all forms, in which answers appear in their order, and tool calls with their name."""
    return st.lists(_samples, max_size=6).map(lambda drafts: list(_settled(drafts)))


def whole_samples() -> st.SearchStrategy[Sample]:
    """Whole completions of all forms."""
    return _whole.map(lambda draft: next(_settled([draft])))


def completion_of(samples: Sequence[Sample]) -> Json:
    """What all items say together, in the shape of `summary`."""
    answers: dict[int, _Answer] = {0: _Answer()}
    usage = None
    for sample in samples:
        usage = sample.said.usage or usage
        for index, part in sample.said.parts.items():
            answers.setdefault(index, _Answer()).add(part, whole=sample.has_whole_calls)
    choices = [answer.choice() for _, answer in sorted(answers.items())]
    said: Json = bare({"choices": choices, "usage": usage})
    return said


class _Answer:
    def __init__(self) -> None:
        self._texts = {"content": "", "reasoning_content": "", "refusal": "", "note": ""}
        self._finish_reason: str | None = None
        self._calls: dict[object, Json] = {}

    def add(self, part: Part, *, whole: bool) -> None:
        said = {
            "content": part.content,
            "reasoning_content": part.reasoning,
            "refusal": part.refusal,
            "note": part.note,
        }
        self._texts = {name: self._texts[name] + said[name] for name in said}
        self._finish_reason = part.finish_reason or self._finish_reason
        for call in part.calls:
            key = object() if whole else call.number
            function = self._calls.setdefault(key, {"name": call.name, "arguments": ""})
            function["arguments"] += call.arguments

    def choice(self) -> Json:
        calls = [{"type": "function", "function": function} for function in self._calls.values()]
        message = {"role": "assistant", "tool_calls": calls, **self._texts}
        return {"message": message, "finish_reason": self._finish_reason or ("tool_calls" if calls else "stop")}


def _settled(drafts: Sequence[Sample]) -> Iterator[Sample]:
    """The samples with no answer left out, and each tool call named at least where it begins."""
    answers = 0
    begun: set[str] = set()
    for position, draft in enumerate(drafts):
        parts = {}
        for index, part in enumerate(draft.said.parts.values(), start=min([answers, *draft.said.parts])):
            scope = f"{position}_{index}" if draft.has_whole_calls else str(index)
            parts[index] = replace(part, calls=tuple(_named(part.calls, scope, begun, whole=draft.has_whole_calls)))
            answers = max(answers, index + 1 if part != Part() else 0)
        yield replace(draft, said=replace(draft.said, parts=parts))


def _named(calls: Sequence[Call], scope: str, begun: set[str], *, whole: bool) -> Iterator[Call]:
    for position, call in enumerate(calls):
        call_id = f"call_{scope}_{position if whole else call.number}"
        name = f"tool_{call.number}" if call.name or call_id not in begun else None
        begun.add(call_id)
        yield replace(call, name=name, id=call.id and call_id)


def _one(*fields: str) -> st.SearchStrategy[dict[int, Part]]:
    return _part(*fields).map(lambda part: {0: part})


def _several(*fields: str) -> st.SearchStrategy[dict[int, Part]]:
    parts = st.dictionaries(st.integers(0, 2), _part(*fields), min_size=1, max_size=2)
    return parts.map(lambda parts: dict(sorted(parts.items())))


def _part(*fields: str) -> st.SearchStrategy[Part]:
    return st.builds(Part, **{name.removeprefix("a "): _FIELDS[name] for name in fields})


def _formed(form: Form, said: st.SearchStrategy[Said]) -> st.SearchStrategy[Sample]:
    return said.map(lambda said: Sample(said, form))


_repeats = st.sampled_from([None, "again"])  # a name and an id, after the first piece of a call
_calls = st.builds(Call, number=st.sampled_from([0, 1, 7]), name=_repeats, arguments=texts, id=_repeats)
_tokens = st.tuples(st.integers(1, 9), st.integers(0, 9)).map(
    lambda tokens: {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
)
_usage = st.none() | _tokens
_events = st.dictionaries(texts, texts, max_size=2)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "content": texts,
    "reasoning": texts,
    "refusal": texts,
    "note": texts,
    "calls": st.lists(_calls, max_size=3).map(tuple),
    "finish_reason": st.none() | finish_reasons,
    "a finish_reason": finish_reasons,
}
_HAYSTACK = ("content", "reasoning", "calls", "finish_reason")
_OPENAI = ("content", "reasoning", "refusal", "calls")

_whole = st.one_of(
    _formed(forms.completion, st.builds(Said, _several(*_OPENAI, "a finish_reason"), _usage)),
    _formed(forms.completion_dict, st.builds(Said, _several(*_OPENAI, "note", "finish_reason"), _usage)),
    _formed(forms.completion_of_openai, st.builds(Said, _several(*_OPENAI, "note", "a finish_reason"), _usage)),
    _formed(forms.chat_message, st.builds(Said, _one(*_HAYSTACK), _usage)),
)
_samples = st.one_of(
    _formed(forms.text, st.builds(Said, _one("content"))),
    _formed(forms.markup, st.builds(Said, _one("content"))),
    _formed(forms.mapped_object, st.builds(Said, _one("content"))),
    _formed(forms.delta, st.builds(Said, _one(*_OPENAI))),
    _formed(forms.usage, st.builds(Said, usage=_tokens)),
    _formed(forms.event, st.builds(Said, event=_events)),
    _formed(forms.chunk, st.builds(Said, _several(*_OPENAI, "finish_reason"), _usage)),
    _formed(forms.chunk_dict, st.builds(Said, _several(*_OPENAI, "note", "finish_reason"), _usage)),
    _formed(forms.unnumbered_chunk, st.builds(Said, _one(*_OPENAI, "note", "finish_reason"), _usage)),
    _formed(forms.chunk_of_openai, st.builds(Said, _several(*_OPENAI, "note", "finish_reason"), _usage)),
    _formed(forms.streaming_chunk, st.builds(Said, _one(*_HAYSTACK), _usage)),
    _whole,
)
