"""LangChain's `ChatOpenAI`."""

from functools import reduce
from operator import add
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.template.clients.report import URL, get_weather, report


def ask(model: str, stream: bool) -> dict[str, object]:
    options: Any = {"use_responses_api": True, "use_previous_response_id": stream, "reasoning": {"summary": "auto"}}
    chat = ChatOpenAI(model=model, base_url=URL, api_key=SecretStr("none"), max_retries=0, **options)
    llm = chat.bind_tools([get_weather])
    messages: list[Any] = [("user", "Hello!")]
    while (answer := reduce(add, llm.stream(messages)) if stream else llm.invoke(messages)).tool_calls:
        outputs = [(call, get_weather(**call["args"])) for call in answer.tool_calls]
        messages += [answer, *({"role": "tool", "content": text, "tool_call_id": call["id"]} for call, text in outputs)]
    blocks = answer.content_blocks
    thoughts = [str(block["reasoning"]) for block in blocks if block["type"] == "reasoning"]
    sources = [note["title"] for block in blocks if block["type"] == "text" for note in block.get("annotations", ())]
    return {"text": answer.text, "thought": "".join(thoughts), "sources": sources}


report(ask)
