"""The tool calls of one answer: each one counted, and named, once."""

from secrets import token_hex
from typing import Any, TypeAlias

import msgspec

__all__ = ["ToolCalls", "arguments_text", "new_call_id"]

Json: TypeAlias = dict[str, Any]


class ToolCalls:
    """Numbers the tool calls of an answer from 0, in the order in which they first appear.

    A source may count from anywhere, repeat ids and names in every delta, or give neither.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_key: dict[object, _Call] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def delta(self, call: Json) -> Json:
        """A delta of a tool call with our index, and with its id, type and name only if they are new."""
        source_id = call.get("id")
        key = call.get("index", source_id)
        known = self._by_key.get(key)
        if known is None or (source_id and known.source_id and source_id != known.source_id):
            kind = call.get("type") or "function"
            known = self._by_key[key] = _Call(len(self._calls), source_id, kind)
            self._calls.append(known)
            call = {**call, "id": source_id or new_call_id(), "type": kind}
        else:
            call = {name: value for name, value in call.items() if name not in ("id", "type")}
        return {**call, "index": known.index} | known.function(call.get("function") or {})


class _Call:
    def __init__(self, index: int, source_id: str | None, kind: str) -> None:
        self.index = index
        self.source_id = source_id
        self._kind = kind
        self._named = False

    def function(self, function: Json) -> Json:
        """The function of a delta: clients expect one in each, but for tools of other kinds."""
        if self._kind != "function":
            return {}
        function = {name: value for name, value in function.items() if value is not None}
        function["arguments"] = arguments_text(function.get("arguments"))
        if self._named:
            function.pop("name", None)
        self._named = self._named or "name" in function
        return {"function": function}


def arguments_text(arguments: Any) -> str:
    """The arguments of a call as JSON, as which OpenAI has them; some sources give an object."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else msgspec.json.encode(arguments).decode()


def new_call_id() -> str:
    """An id for a tool call whose source gave none."""
    return f"call_{token_hex(12)}"
