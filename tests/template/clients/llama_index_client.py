"""LlamaIndex, in an environment of its own: it wants an older `openai`."""

from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ThinkingBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAIResponses

from tests.template.clients.report import URL, get_weather, report

TOOL = FunctionTool.from_defaults(get_weather)


def ask(model: str, stream: bool) -> dict[str, object]:
    llm = OpenAIResponses(model=model, api_base=URL, api_key="none", max_retries=0, context_window=8000)
    history = [ChatMessage(role="user", content="Hello!")]

    def respond() -> Any:
        chat = llm.stream_chat_with_tools if stream else llm.chat_with_tools
        answer: Any = chat([TOOL], chat_history=history)
        return list(answer)[-1] if stream else answer

    answer = respond()
    while calls := llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False):
        outputs = [(call.tool_id, get_weather(**call.tool_kwargs)) for call in calls]
        tools = [
            ChatMessage(role="tool", content=text, additional_kwargs={"tool_call_id": call}) for call, text in outputs
        ]
        history += [answer.message, *tools]
        answer = respond()
    thoughts = [block.content for block in answer.message.blocks if isinstance(block, ThinkingBlock)]
    sources = [dict(note)["title"] for note in answer.additional_kwargs.get("annotations", ())]
    return {"text": answer.message.content, "thought": "".join(thoughts), "sources": sources}


report(ask)
