"""OpenAI's messages as a generator of Haystack gets them, and messages that Haystack cannot represent."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage, FileContent, ImageContent, TextContent, ToolCall
from haystack.utils import Secret

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


def called(name: str, arguments: Json, call_id: str = "call_1") -> ToolCall:
    """Return a call of the client's conversation, with the id as the Responses API names it."""
    return ToolCall(name, arguments, id=call_id, extra={"call_id": call_id})


UNKNOWN = called("", {})
WEATHER = called("weather", {"city": "Paris"})

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
        (assistant(tool_calls=[call(arguments={"city": "Paris"})]), ChatMessage.from_assistant(tool_calls=[WEATHER])),
        (result([text("Sunny"), text("21 °C")]), ChatMessage.from_tool("Sunny\n21 °C", origin=UNKNOWN)),
        (result([text("A map:"), image(PNG_URL)]), ChatMessage.from_tool([TextContent("A map:"), IMAGE], UNKNOWN)),
        (result([file(file_data=PDF_URL)]), ChatMessage.from_tool([PDF], UNKNOWN)),
    ],
)
def test_a_message_becomes_one_of_haystack(reads: Reads, message: Json, expected: ChatMessage) -> None:
    assert reads(message) == [expected]


@pytest.mark.parametrize("arguments", ["", "{}", " {} ", None])
def test_a_call_with_empty_arguments_has_none(reads: Reads, arguments: object) -> None:
    (message,) = reads(calling(arguments=arguments))

    assert message.tool_calls == [called("weather", {})]


@pytest.mark.parametrize("arguments", ['{"x":', "{", "[1]", '{"a": NaN}', "Paris"])
def test_what_a_model_wrote_instead_of_arguments_stays_in_the_conversation(reads: Reads, arguments: str) -> None:
    message, _ = reads(calling(arguments=arguments), result("No JSON"))

    assert message.tool_calls == [called("weather", {"malformed": arguments})]


def test_results_without_an_id_belong_to_the_calls_without_one_in_their_order(reads: Reads) -> None:
    rome, pisa = (call(None, arguments=f'{{"city": "{city}"}}') for city in ("Rome", "Pisa"))

    messages = reads(assistant(tool_calls=[rome, pisa]), result(tool_call_id=None), {"role": "tool", "content": "Wet"})

    results = [message.tool_call_result for message in messages if message.tool_call_result]
    assert [(each.origin.arguments["city"], each.result) for each in results] == [("Rome", "Sunny"), ("Pisa", "Wet")]
    assert [each.origin for each in results] == messages[0].tool_calls
    assert len({call.id for call in messages[0].tool_calls}) == 2


def test_images_in_the_result_of_a_tool_are_a_400_where_the_generator_takes_text_alone(serve: Serve) -> None:
    generator = OpenAIChatGenerator(Secret.from_token("none"), api_base_url="http://127.0.0.1:1/v1")

    response = ask(serve(haystack_component(generator)), messages=[calling(), result([image(PNG_URL)])])

    assert response.status_code == 400
    assert error_of(response)["message"] == "This model cannot read images in the result of a tool."


def test_a_result_names_the_latest_call_of_its_id(reads: Reads) -> None:
    rome = calling(arguments='{"city": "Rome"}')

    messages = reads(calling(), result("Sunny"), rome, result("Rainy"))

    origins = [message.tool_call_result.origin for message in messages if message.tool_call_result]
    assert origins == [WEATHER, called("weather", {"city": "Rome"})]


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
        ({"role": "system", "content": [image(PNG_URL)]}, "a message of the role system holds text alone, not images"),
        ({"role": "function", "name": "f", "content": "1"}, "the role 'function' is not system, developer, user"),
        (assistant(content=[file(file_data=PDF_URL)]), "a message of the role assistant holds text alone, not ima"),
        (assistant(content="Hi.", reasoning_content={"text": "Hm."}), "'reasoning_content' must be a string"),
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
        calling(call_id=5),
        calling(arguments=5),
        assistant(tool_calls={"f": 1}),
        result(tool_call_id=["call_1"]),
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
    calls = [called("weather", {"city": "Zürich"}), called("time", {}, "call_2")]
    answer = ChatMessage.from_assistant("Let me see.", tool_calls=calls, reasoning="Hm.")

    assert reads(message_of(ask(serve(returning(answer))))) == [answer]
