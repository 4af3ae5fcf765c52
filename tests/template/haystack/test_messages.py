"""OpenAI's messages as a generator of Haystack gets them, and messages that Haystack cannot represent."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from haystack.dataclasses import ChatMessage, FileContent, ImageContent, ToolCall

from app.haystack.model import haystack_component
from schemas.chat import Json
from tests.conftest import Client, Serve, ask, error_of, message_of, returning
from tests.template.haystack.generators import AsyncGenerator, says

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # a PNG
PNG_URL = f"data:image/png;base64,{PIXEL}"
PDF_URL = "data:application/pdf;base64,JVBERi0="
IMAGE = ImageContent(PIXEL, mime_type="image/png")
PDF = FileContent("JVBERi0=", mime_type="application/pdf")
DEEP = '{"a":' * 9999 + "1" + "}" * 9999
UNKNOWN = ToolCall("", {}, id="call_1")
WEATHER = ToolCall("weather", {"city": "Paris"}, id="call_1")

Reads: TypeAlias = Callable[..., list[ChatMessage]]


@pytest.fixture(scope="module")
def generator() -> AsyncGenerator:
    return AsyncGenerator(says("Hello"))


@pytest.fixture(scope="module")
def client(serve_all: Serve, generator: AsyncGenerator) -> Client:
    return serve_all(haystack_component(generator), max_json_depth=0)


@pytest.fixture
def reads(client: Client, generator: AsyncGenerator) -> Iterator[Reads]:
    """Return the messages that the generator gets for messages of OpenAI's."""

    def reads(*messages: Json) -> list[ChatMessage]:
        assert ask(client, messages=list(messages)).status_code == 200
        return generator.asked[-1].messages

    yield reads
    generator.asked.clear()


def text(value: str) -> Json:
    return {"type": "text", "text": value}


def image(url: object, **detail: object) -> Json:
    return {"type": "image_url", "image_url": {"url": url, **detail}}


def file(**fields: object) -> Json:
    return {"type": "file", "file": fields}


def user(*parts: object, **fields: object) -> Json:
    return {"role": "user", "content": list(parts), **fields}


def assistant(**fields: object) -> Json:
    return {"role": "assistant", **fields}


def call(call_id: object = "call_1", name: object = "weather", arguments: object = '{"city": "Paris"}') -> Json:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(**parts: object) -> Json:
    return assistant(content=None, tool_calls=[call(**parts)])


def result(content: object = "Sunny", **fields: object) -> Json:
    return {"role": "tool", "tool_call_id": "call_1", "content": content, **fields}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (user(text("Hello,"), text("you!")), ChatMessage.from_user(content_parts=["Hello,", "you!"])),
        (user(image(PNG_URL, detail=None)), ChatMessage.from_user(content_parts=[IMAGE])),
        (
            user(image(f"data:;base64,{PIXEL}", detail="low")),  # its type is the one that it looks like
            ChatMessage.from_user(content_parts=[ImageContent(PIXEL, mime_type="image/png", detail="low")]),
        ),
        (user(file(file_data=PDF_URL, filename=None)), ChatMessage.from_user(content_parts=[PDF])),
        ({"role": "system", "content": "Be brief.", "name": "a"}, ChatMessage.from_system("Be brief.", name="a")),
        ({"role": "system", "content": [text("Be"), text("brief.")]}, ChatMessage.from_system("Be\nbrief.")),
        ({"role": "developer", "content": "Be brief."}, ChatMessage.from_system("Be brief.")),
        (assistant(content=[text("Hi,"), text("Ann.")]), ChatMessage.from_assistant("Hi,\nAnn.")),
        (assistant(content=""), ChatMessage.from_assistant("")),
        (assistant(content=None), ChatMessage.from_assistant("")),
        (assistant(), ChatMessage.from_assistant("")),
        (assistant(content=[{"type": "refusal", "refusal": "No."}]), ChatMessage.from_assistant("No.")),
        (assistant(content=None, refusal="No."), ChatMessage.from_assistant("No.")),
        (assistant(content="Hi.", refusal=None, tool_calls=None), ChatMessage.from_assistant("Hi.")),
        (assistant(content="Hi.", tool_calls=[]), ChatMessage.from_assistant("Hi.")),
        (assistant(content="Yes.", reasoning_content="Hm."), ChatMessage.from_assistant("Yes.", reasoning="Hm.")),
        (assistant(content="Yes.", reasoning="Hm."), ChatMessage.from_assistant("Yes.", reasoning="Hm.")),
        (assistant(content="Yes.", reasoning_content=None, reasoning=""), ChatMessage.from_assistant("Yes.")),
        (assistant(content="", tool_calls=[call()]), ChatMessage.from_assistant(tool_calls=[WEATHER])),
        (result([text("Sunny"), text("21 °C")]), ChatMessage.from_tool("Sunny\n21 °C", origin=UNKNOWN)),
    ],
)
def test_a_message_becomes_one_of_haystack(reads: Reads, message: Json, expected: ChatMessage) -> None:
    assert reads(message) == [expected]


@pytest.mark.parametrize("arguments", ["", "{}", " {} ", None])
def test_a_call_with_empty_arguments_has_none(reads: Reads, arguments: object) -> None:
    (message,) = reads(calling(arguments=arguments))

    assert message.tool_calls == [ToolCall("weather", {}, id="call_1")]


def test_a_result_names_the_latest_call_of_its_id(reads: Reads) -> None:
    rome = calling(arguments='{"city": "Rome"}')

    messages = reads(calling(), result("Sunny"), rome, result("Rainy"))

    origins = [message.tool_call_result.origin for message in messages if message.tool_call_result]
    assert origins == [WEATHER, ToolCall("weather", {"city": "Rome"}, id="call_1")]


def test_calls_of_another_conversation_are_not_known(reads: Reads) -> None:
    reads(calling(), result())

    (message,) = reads(result())

    assert message.tool_call_result is not None
    assert message.tool_call_result.origin.tool_name == ""


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (user(image("https://example.com/cat.png")), "an image or a file must come as a data URL in base64"),
        (user(image(f"data:image/png,{PIXEL}")), "an image or a file must come as a data URL in base64"),
        (user(image("data:image/png;base64,no base64!")), "The base64 string is not valid"),
        (user(image("data:text/plain;base64,AAAA")), "text/plain is not a valid image MIME type"),
        (user(file(file_id="file-1")), "it has no 'file_data'"),
        (user(file(file_data="AAAA", filename="a.pdf")), "an image or a file must come as a data URL in base64"),
        (user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}), "content of the type 'inp"),
        (user({"type": "newer", "text": "Hello!"}), "content of the type 'newer' is not text, refusal, image_url"),
        ({"role": "system", "content": [image(PNG_URL)]}, "a message of the role system holds text alone, not an imag"),
        ({"role": "function", "name": "f", "content": "1"}, "the role 'function' is not system, developer, user"),
        (assistant(content=[file(file_data=PDF_URL)]), "a message of the role assistant holds text alone, not a file"),
        (result([image(PNG_URL)]), "a message of the role tool holds text alone, not an image"),
        (assistant(content="Hi.", reasoning_content={"text": "Hm."}), "'reasoning_content' must be a string"),
        (calling(arguments="{"), "the arguments of a tool call are no JSON object"),
        (calling(arguments="[1]"), "the arguments of a tool call are no JSON object"),
        (calling(arguments='{"a": NaN}'), "the arguments of a tool call are no JSON object"),
        (calling(arguments=DEEP), "it is nested too deeply"),
        (assistant(tool_calls=[{"id": "call_1", "type": "custom", "custom": {}}]), "it has no 'function'"),
    ],
)  # fmt: skip
def test_a_message_that_haystack_cannot_represent_is_a_400_that_names_it_and_the_reason(
    client: Client, message: Json, reason: str
) -> None:
    response = ask(client, messages=[{"role": "user", "content": "Hello!"}, assistant(content="Hi."), message])

    error = error_of(response)
    assert (response.status_code, error["type"], error["param"]) == (400, "invalid_request_error", "messages[2]")
    assert error["message"].startswith(f"This model cannot read messages[2]: {reason}")


@pytest.mark.parametrize(
    "message",
    [
        user(image(5)),
        user(file(file_data=PDF_URL, filename=5)),
        user({"type": "text", "text": 5}),
        user(text("Hello!"), name=5),
        assistant(content=None, refusal=True),
        calling(arguments={"city": "Paris"}),
        calling(call_id=5),
        assistant(tool_calls=[{"type": "function", "function": {"name": "f"}}]),
        assistant(tool_calls={"f": 1}),
        result(tool_call_id=["call_1"]),
        {"role": "tool", "content": "Sunny"},
    ],
)
def test_a_malformed_message_is_a_400_that_names_it(client: Client, message: Json) -> None:
    response = ask(client, messages=[{"role": "user", "content": "Hello!"}, message])

    assert response.status_code == 400
    assert error_of(response)["param"].startswith("messages[1]")


def test_the_error_does_not_repeat_the_message_at_length(client: Client) -> None:
    refused = [user(image("https://example.com/" + "cat" * 9999)), user({"type": "cat" * 9999, "data": 1})]

    assert all(len(error_of(ask(client, messages=[message]))["message"]) <= 200 for message in refused)


def test_an_answer_is_the_same_message_when_the_client_sends_it_back(serve: Serve, reads: Reads) -> None:
    calls = [ToolCall("weather", {"city": "Zürich"}, id="call_1"), ToolCall("time", {}, id="call_2")]
    answer = ChatMessage.from_assistant("Let me see.", tool_calls=calls, reasoning="Hm.")

    assert reads(message_of(ask(serve(returning(answer))))) == [answer]
