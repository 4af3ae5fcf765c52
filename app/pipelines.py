"""The models that this server offers. This is the file to edit: a decorated function is a model.

A model is a function of `(model, messages, body)`, sync or async. It returns text or a completion,
or yields: text, a `Delta`, a `Usage`, or whatever else `app/engine/items.py` reads. A function of
nothing, or of `settings`, makes a model when it is first asked for: what is slow to import or to load.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from app.local.model import LocalModel, is_installed, local_model
from app.registry import Pipelines
from app.services import Body, Messages
from app.settings import Settings
from schemas.chat import ChatCompletion, Choice, Delta, FunctionCall, Message, ToolCall, Usage

__all__ = ["pipelines"]

pipelines = Pipelines()


def last_text(messages: Messages) -> str:
    """The text of the last message, whether it came as a string or in parts."""
    content = messages[-1].get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(str(part["text"]) for part in content if "text" in part)


@pipelines.model("echo")
def echo(model: str, messages: Messages, body: Body) -> str:
    """A function that returns text: the whole answer at once."""
    return last_text(messages)


@pipelines.model("echo-stream")
def echo_stream(model: str, messages: Messages, body: Body) -> Iterator[str | Usage]:
    """A generator: each text it yields is a chunk. It reports its usage at the end."""
    words = last_text(messages).split(" ")
    for position, word in enumerate(words):
        yield word if position == 0 else f" {word}"
    yield Usage(prompt_tokens=len(words), completion_tokens=len(words))


@pipelines.model("tools", prompt="What is the weather in Paris?")
def tools(model: str, messages: Messages, body: Body) -> str | ChatCompletion:
    """A model that asks for the client's first tool, and answers with what the tool returned."""
    if messages[-1]["role"] == "tool":
        return f"The tool says: {last_text(messages)}"
    functions = [tool["function"] for tool in body.get("tools") or [] if "function" in tool]
    if not functions:
        return "Give me a tool, and I will ask for it."
    parameters = functions[0].get("parameters") or {}
    arguments = {name: last_text(messages) for name in parameters.get("properties") or ()}
    call = ToolCall(function=FunctionCall(name=functions[0]["name"], arguments=json.dumps(arguments)))
    return ChatCompletion(choices=[Choice(message=Message(tool_calls=[call]), finish_reason="tool_calls")])


@pipelines.model("reasoning")
async def reasoning(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Delta]:
    """An async generator that shows its thoughts before its answer."""
    question = last_text(messages)
    yield Delta(reasoning_content=f"The user wrote {len(question)} characters. ")
    yield Delta(reasoning_content="I shall tell them so.")
    yield f"You wrote {len(question)} characters."


class Progress:
    """An event beside the text: any object with `to_event_dict()` will do."""

    def __init__(self, description: str, *, done: bool) -> None:
        self.description = description
        self.done = done

    def to_event_dict(self) -> dict[str, Any]:
        """The event as Open WebUI shows it."""
        return {"type": "status", "data": {"description": self.description, "done": self.done}}


@pipelines.model("events")
async def events(model: str, messages: Messages, body: Body) -> AsyncIterator[str | Progress]:
    """An async generator that tells how far it has come."""
    yield Progress("Reading your message", done=False)
    answer = last_text(messages)[::-1]
    yield Progress("Turned it around", done=True)
    yield answer


@pipelines.model("rag", prompt="What happens when the client leaves?")
def rag(settings: Settings) -> object:
    """A Haystack pipeline that answers from documents, by `chat` or `local` if they are there."""
    from app.haystack.rag import rag_model

    return rag_model(settings)


@pipelines.model(
    "local",
    prompt="What is the capital of France?",
    preload=True,
    when=lambda settings: is_installed(settings.local_model_path),
)
def local(settings: Settings) -> LocalModel:
    """A language model in this very process."""
    return local_model(settings.local_model_path)


@pipelines.model("chat", when=lambda settings: settings.openai_model != "")
def chat(settings: Settings) -> object:
    """A chat generator: any OpenAI-compatible upstream."""
    from app.haystack.model import haystack_component
    from app.haystack.upstream import upstream_generator, upstream_parameters

    return haystack_component(upstream_generator(settings), parameters=upstream_parameters)
