"""Events sent beside the text: the tools that an agent calls in the server.

They have the form that Open WebUI shows; `tool_call` and `tool_result` carry the details for other clients.
"""

from collections.abc import Container

from schemas.chat import Delta, FunctionCallDelta, Json, ToolCallDelta

OUT_OF_STEPS: Json = {"choices": [{"delta": {}, "finish_reason": "length"}]}  # ends an answer that took too many
BETWEEN_STEPS = "\n\n"  # separates the texts that an agent writes before and after a tool call


class AgentStream:
    """Makes the items of an agent's answer.

    Args:
        offered: The names of the tools that the client answers; calls of others are shown as events.
    """

    def __init__(self, offered: Container[str]) -> None:
        self.offered = offered
        self._has_text = False
        self._separator = ""
        self._names: dict[str, str] = {}
        self._calls_for_client = 0

    def text(self, text: str) -> str:
        """Return the next text, apart from that of the step before."""
        if not text:
            return ""
        separator, self._separator, self._has_text = self._separator, "", True
        return separator + text

    def calling(self, call_id: str, name: str, arguments: str) -> Json:
        """Return the event of a call that begins."""
        self._separator = BETWEEN_STEPS if self._has_text else ""
        self._names[call_id] = name
        return _status(f"Calling {name}", done=False, tool_call={"id": call_id, "name": name, "arguments": arguments})

    def called(self, call_id: str, result: str, *, failed: bool = False) -> Json:
        """Return the event of a call that has ended."""
        name = self._names.get(call_id, "")
        tool_result = {"id": call_id, "name": name, "result": result, "error": failed}
        return _status(f"{name} failed" if failed else f"Called {name}", done=True, tool_result=tool_result)

    def for_client(self, call_id: str, name: str, arguments: str) -> Delta:
        """Return a call that the client answers."""
        index, self._calls_for_client = self._calls_for_client, self._calls_for_client + 1
        function = FunctionCallDelta(name=name, arguments=arguments)
        return Delta(tool_calls=[ToolCallDelta(index=index, id=call_id, type="function", function=function)])


def ending(finish_reason: str | None, *, prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> Json:
    """Return the end of an answer: why it ended, and the tokens of all its steps."""
    usage: Json = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    usage["prompt_tokens_details"] = {"cached_tokens": cached}
    usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return {"choices": [{"delta": {}, "finish_reason": finish_reason}], "usage": usage}


def _status(description: str, *, done: bool, **details: Json) -> Json:
    data = {"description": description, "done": done, **details}
    return {"choices": [], "event": {"type": "status", "data": data}}
