"""The reply that a run ends with, wherever it is in the outputs."""

from collections.abc import Mapping
from typing import Any

from haystack.dataclasses import ChatMessage, ChatRole, TextContent

from app.haystack.events import BETWEEN_STEPS

__all__ = ["REPLIES", "message_of", "reply_of"]

REPLIES = ("last_message", "replies", "answers")  # an agent's, a generator's, an answer builder's
FINISH_REASONS = {"max_agent_steps": "length"}


def reply_of(outputs: Mapping[str, Any]) -> ChatMessage:
    """The reply among the outputs of a component, or the one output if it has another name.

    Raises:
        TypeError: it is neither a message nor text.
    """
    if "last_message" in outputs and "messages" in outputs:
        return _agents_reply(outputs)
    value = next((outputs[name] for name in REPLIES if name in outputs), None)
    if value is None and len(outputs) == 1:
        (value,) = outputs.values()
    return message_of(value)


def message_of(value: Any) -> ChatMessage:
    """A message, whatever a component made: a message, an answer or text, or a list of these.

    Raises:
        TypeError: it is something else.
    """
    match value:
        case ChatMessage():
            return value
        case str():
            return ChatMessage.from_assistant(value)
        case []:
            return ChatMessage.from_assistant("")
        case [first, *_]:
            return message_of(first)
        case object(data=str() as text, meta=meta):  # a GeneratedAnswer, which has the meta of its reply
            return ChatMessage.from_assistant(text, meta=meta)
        case _:
            raise TypeError(f"The output of the pipeline is {type(value).__name__}, neither a ChatMessage nor text.")


def _agents_reply(outputs: Mapping[str, Any]) -> ChatMessage:
    """What the agent said in all its steps; where a tool ended it, what the tool said."""
    last: ChatMessage = outputs["last_message"]
    steps = _after_the_question(outputs["messages"])
    if last.tool_call_result is not None and outputs.get("exit_reason") not in FINISH_REASONS:
        last = _said_by(outputs.get("exit_reason"), steps)
    steps = [*steps[:-1], last]
    texts = [step.text for step in steps if step.is_from(ChatRole.ASSISTANT) and step.text]
    reasonings = [step.reasoning.reasoning_text for step in steps if step.reasoning]
    meta = {
        "finish_reason": FINISH_REASONS.get(outputs.get("exit_reason", "")) or last.meta.get("finish_reason"),
        "usage": outputs.get("token_usage") or None,
    }
    calls = last.tool_calls if last.is_from(ChatRole.ASSISTANT) else []
    return ChatMessage.from_assistant(
        BETWEEN_STEPS.join(texts), meta=meta, tool_calls=calls, reasoning="".join(reasonings) or None
    )


def _said_by(tool_name: str | None, steps: list[ChatMessage]) -> ChatMessage:
    """What the tool said that ended the run, if one did: others may have been called beside it."""
    results = [step.tool_call_result for step in steps if step.tool_call_result]
    named = [result for result in results if result.origin.tool_name == tool_name] or results
    said = named[-1].result
    texts = [said] if isinstance(said, str) else [part.text for part in said if isinstance(part, TextContent)]
    return ChatMessage.from_assistant("\n".join(texts))


def _after_the_question(messages: list[ChatMessage]) -> list[ChatMessage]:
    users = [position for position, message in enumerate(messages) if message.is_from(ChatRole.USER)]
    return messages[users[-1] + 1 if users else 0 :]
