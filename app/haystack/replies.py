"""Replies and documents among the outputs of components."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from haystack import Document
from haystack.dataclasses import ChatMessage, ChatRole, ExtractedAnswer, GeneratedAnswer, TextContent, ToolCallResult

from schemas.chat import Json

REPLIES = ("last_message", "replies", "answers")  # outputs of an agent, a generator, an answer builder
USAGE = {  # the Responses API's names, and those of a chat
    "input_tokens": "prompt_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens": "completion_tokens",
    "output_tokens_details": "completion_tokens_details",
}
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
BETWEEN_STEPS = "\n\n"  # separates the texts of an agent before and after a tool call, and those of two components


def reply_of(outputs: Mapping[str, Any], name: str) -> ChatMessage:
    """Return an output of a component as a message: all steps of an agent, or a reply with the meta beside it."""
    if "messages" in outputs:
        return _agent_reply(outputs)
    return message_of(outputs.get(name), outputs.get("meta"))


def message_of(value: Any, meta: Any = None) -> ChatMessage:
    """Return an output as a message: it must be a message, an answer or text, or a list of these."""
    match value:
        case ChatMessage():
            return value
        case str():
            return ChatMessage.from_assistant(value, meta=meta if isinstance(meta, dict) else {})
        case [*values]:
            return message_of(values[0] if values else "", meta[0] if isinstance(meta, list) and meta else meta)
        case object(data=str() as text, meta=meta):  # a GeneratedAnswer, which has the meta of its reply
            return ChatMessage.from_assistant(text, meta=meta)
        case _:
            raise TypeError(f"The output of the pipeline is {type(value).__name__}, neither a ChatMessage nor text.")


def total_usage(metas: Iterable[Mapping[str, Any]]) -> Json | None:
    """Return the usage that replies have in their meta, under OpenAI's names; the sum if there are several."""
    usages = [
        {USAGE.get(name, name): value for name, value in meta["usage"].items()} for meta in metas if meta.get("usage")
    ]
    if len(usages) > 1:
        return {name: sum(usage.get(name) or 0 for usage in usages) for name in COUNTS}
    return usages[0] if usages else None


def documents_in(value: Any) -> Iterator[Document]:
    """Yield the documents of an output: those in a list, and those that answers are based on."""
    match value:
        case Document():
            yield value
        case GeneratedAnswer(documents=documents) | [*documents]:
            for each in documents:
                yield from documents_in(each)
        case ExtractedAnswer(document=document):
            yield from documents_in(document)


def result_text(result: ToolCallResult) -> str:
    """Return the text of a tool's result, without its images and files."""
    if isinstance(result.result, str):
        return result.result
    return "\n".join(part.text for part in result.result if isinstance(part, TextContent))


def _agent_reply(outputs: Mapping[str, Any]) -> ChatMessage:
    """Return the text of all steps of an agent; if a tool has ended it, the last text is the tool's result."""
    steps, reason = _steps(outputs), outputs.get("exit_reason")
    last = outputs["messages"][-1]
    if last.tool_call_result is not None and reason != "max_agent_steps":
        results = [step.tool_call_result for step in steps if step.tool_call_result]
        ended = [result for result in results if result.origin.tool_name == reason] or results
        last = ChatMessage.from_assistant(result_text(ended[-1]))
    answers = [step for step in (*steps[:-1], last) if step.is_from(ChatRole.ASSISTANT)]
    finish_reason = "length" if reason == "max_agent_steps" else last.meta.get("finish_reason")
    return ChatMessage.from_assistant(
        BETWEEN_STEPS.join(step.text for step in answers if step.text),
        meta={"finish_reason": finish_reason, "usage": outputs.get("token_usage") or None},
        tool_calls=last.tool_calls,
        reasoning="".join(step.reasoning.reasoning_text for step in answers if step.reasoning) or None,
    )


def _steps(outputs: Mapping[str, Any]) -> list[ChatMessage]:
    """Return the messages of a run, which may have gone on after the result of a call."""
    messages: list[ChatMessage] = outputs["messages"]
    written = [position for position, message in enumerate(messages) if message.is_from(ChatRole.ASSISTANT)]
    return messages[next(iter(written[-outputs.get("step_count", 1) :]), 0) :]
