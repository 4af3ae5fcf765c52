"""OpenAI's messages as Haystack has them, what Haystack cannot hold, and the way back to the wire."""

import pytest
from haystack.components.generators.chat import MockChatGenerator
from haystack.dataclasses import (
    ChatMessage,
    FileContent,
    ImageContent,
    ReasoningContent,
    StreamingChunk,
    TextContent,
    ToolCall,
    ToolCallDelta,
)

from app.errors import InvalidRequestError
from app.haystack.messages import last_question, to_chat_messages
from app.haystack.model import haystack_component
from schemas.chat import Json
from tests.conftest import Serve, ask, chunks_of, error_of, returning, yielding
from tests.template.conftest import completion, deltas_of, finish_reason_of

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # a PNG
PNG_URL = f"data:image/png;base64,{PIXEL}"
PDF_URL = "data:application/pdf;base64,JVBERi0="
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
DEEP = '{"a":' * 9999 + "1" + "}" * 9999


def text(value: object) -> Json:
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


def converted(*messages: Json) -> list[ChatMessage]:
    return to_chat_messages([*messages])  # type: ignore[list-item]  # dicts as JSON has them


def refusal_of(*messages: Json) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as raised:
        converted(*messages)
    return raised.value


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "user", "content": "Hello!"}, ChatMessage.from_user("Hello!")),
        ({"role": "user", "content": "Hello!", "name": "Ann"}, ChatMessage.from_user("Hello!", name="Ann")),
        ({"role": "user", "content": ""}, ChatMessage.from_user("")),
        ({"role": "user", "content": None}, ChatMessage.from_user("")),
        ({"role": "user"}, ChatMessage.from_user("")),
        (user(), ChatMessage.from_user("")),
        (user(text("Hello!")), ChatMessage.from_user("Hello!")),
        (user(text("Hello,"), text("you!")), ChatMessage.from_user(content_parts=["Hello,", "you!"])),
        ({"role": "system", "content": "Be brief."}, ChatMessage.from_system("Be brief.")),
        ({"role": "system", "content": "Be brief.", "name": "a"}, ChatMessage.from_system("Be brief.", name="a")),
        ({"role": "system", "content": [text("Be"), text("brief.")]}, ChatMessage.from_system("Be\nbrief.")),
        ({"role": "developer", "content": "Be brief."}, ChatMessage.from_system("Be brief.")),
        ({"role": "developer", "content": ""}, ChatMessage.from_system("")),
        (assistant(content="Hi."), ChatMessage.from_assistant("Hi.")),
        (assistant(content="Hi.", name="Bob"), ChatMessage.from_assistant("Hi.", name="Bob")),
        (assistant(content=[text("Hi,"), text("Ann.")]), ChatMessage.from_assistant("Hi,\nAnn.")),
        (assistant(content=""), ChatMessage.from_assistant("")),
        (assistant(content=None), ChatMessage.from_assistant("")),
        (assistant(), ChatMessage.from_assistant("")),
        (assistant(content=[{"type": "refusal", "refusal": "No."}]), ChatMessage.from_assistant("No.")),
        (assistant(content=None, refusal="No."), ChatMessage.from_assistant("No.")),
        (assistant(content="Hi.", refusal=None), ChatMessage.from_assistant("Hi.")),
        (assistant(content="Hi.", tool_calls=None), ChatMessage.from_assistant("Hi.")),
        (assistant(content="Hi.", tool_calls=[]), ChatMessage.from_assistant("Hi.")),
    ],
)
def test_text_becomes_haystacks(message: Json, expected: ChatMessage) -> None:
    assert converted(message) == [expected]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_kept_beside_the_text(field: str) -> None:
    assert converted(assistant(content="Yes.", **{field: "Hm."})) == [
        ChatMessage.from_assistant("Yes.", reasoning=ReasoningContent("Hm."))
    ]


def test_no_reasoning_is_none() -> None:
    assert converted(assistant(content="Yes.", reasoning_content=None, reasoning="")) == [
        ChatMessage.from_assistant("Yes.")
    ]


@pytest.mark.parametrize("detail", [{}, {"detail": None}, {"detail": "low"}])
def test_an_image_as_a_data_url_is_an_image_of_haystacks(detail: Json) -> None:
    (message,) = converted(user(text("What is it?"), image(PNG_URL, **detail)))

    picture = ImageContent(PIXEL, mime_type="image/png", detail=detail.get("detail"))
    assert message == ChatMessage.from_user(content_parts=[TextContent("What is it?"), picture])


def test_an_image_that_does_not_say_its_type_has_the_one_that_it_looks_like() -> None:
    (message,) = converted(user(image(f"data:;base64,{PIXEL}")))

    assert message.image is not None
    assert message.image.mime_type == "image/png"


@pytest.mark.parametrize("filename", [{}, {"filename": None}, {"filename": "a.pdf"}])
def test_a_file_is_a_file_of_haystacks(filename: Json) -> None:
    (message,) = converted(user(file(file_data=PDF_URL, **filename), text("Sum it up.")))

    document = FileContent("JVBERi0=", mime_type="application/pdf", filename=filename.get("filename"))
    assert message == ChatMessage.from_user(content_parts=[document, TextContent("Sum it up.")])


@pytest.mark.parametrize(
    ("content", "expected"), [(None, None), ("", None), ([], None), ("Let me see.", "Let me see.")]
)
def test_tool_calls_keep_their_ids_and_arguments(content: object, expected: str | None) -> None:
    calls = [call(), call("call_2", "time", '{"zone": "Europe/Paris", "at": [1, 2.5, null, {"é": true}]}')]

    assert converted(assistant(content=content, tool_calls=calls)) == [
        ChatMessage.from_assistant(
            expected,
            tool_calls=[
                ToolCall("weather", {"city": "Paris"}, id="call_1"),
                ToolCall("time", {"zone": "Europe/Paris", "at": [1, 2.5, None, {"é": True}]}, id="call_2"),
            ],
        )
    ]


@pytest.mark.parametrize("arguments", ["", "{}", " {} ", None])
def test_a_call_without_arguments_has_none(arguments: object) -> None:
    (message,) = converted(calling(arguments=arguments))

    assert message.tool_calls == [ToolCall("weather", {}, id="call_1")]


def test_a_call_that_leaves_its_arguments_out_has_none() -> None:
    unsaid = {"id": "call_1", "type": "function", "function": {"name": "weather"}}

    assert converted(assistant(tool_calls=[unsaid]))[0].tool_calls == [ToolCall("weather", {}, id="call_1")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [("Sunny", "Sunny"), ("", ""), (None, ""), ([text("Sunny"), text("21 °C")], "Sunny\n21 °C")],
)
def test_a_result_names_the_call_that_it_answers(content: object, expected: str) -> None:
    origin = ToolCall("weather", {"city": "Paris"}, id="call_1")

    assert converted(calling(), result(content))[1] == ChatMessage.from_tool(expected, origin=origin)


def test_results_may_come_in_another_order_than_their_calls() -> None:
    calls = [call("call_1", "weather"), call("call_2", "time", "{}")]

    messages = converted(
        assistant(tool_calls=calls), result("Noon", tool_call_id="call_2"), result("Sunny", tool_call_id="call_1")
    )

    assert [message.tool_call_result for message in messages] == [
        None,
        *(
            ChatMessage.from_tool(said, origin=origin).tool_call_result
            for said, origin in (
                ("Noon", ToolCall("time", {}, id="call_2")),
                ("Sunny", ToolCall("weather", {"city": "Paris"}, id="call_1")),
            )
        ),
    ]


def test_a_result_answers_the_latest_call_of_its_id() -> None:
    messages = converted(
        calling(arguments='{"city": "Paris"}'),
        result("Sunny"),
        calling(arguments='{"city": "Rome"}'),
        result("Rainy"),
    )

    origins = [message.tool_call_result.origin for message in messages if message.tool_call_result]
    assert [origin.arguments["city"] for origin in origins] == ["Paris", "Rome"]


def test_a_result_whose_call_is_not_in_the_conversation_keeps_its_id() -> None:
    origin = ToolCall("", {}, id="call_1")

    assert converted(result("Sunny")) == [ChatMessage.from_tool("Sunny", origin=origin)]


def test_calls_of_another_conversation_are_not_known() -> None:
    converted(calling())

    (message,) = converted(result())
    assert message.tool_call_result is not None
    assert message.tool_call_result.origin.tool_name == ""


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello!", "name": "Ann"},
        {"role": "user", "content": ""},
        user(text("What is it?"), image(PNG_URL, detail="high"), file(file_data=PDF_URL, filename="a.pdf")),
        user(image(PNG_URL)),
        assistant(content="Hi.", name="Bob"),
        assistant(content=""),
        assistant(tool_calls=[call(), call("call_2", "time", "{}")]),
        assistant(content="Let me see.", tool_calls=[call()]),
        result("Sunny"),
        result(""),
    ],
)
def test_what_haystack_can_say_goes_back_to_openai_as_it_came(message: Json) -> None:
    assert converted(message)[0].to_openai_dict_format() == message


@pytest.mark.parametrize(
    ("message", "back"),
    [
        ({"role": "developer", "content": "Be brief."}, {"role": "system", "content": "Be brief."}),
        ({"role": "system", "content": [text("Be"), text("brief.")]}, {"role": "system", "content": "Be\nbrief."}),
        ({"role": "user", "content": None}, {"role": "user", "content": ""}),
        (user(text("Hello!")), {"role": "user", "content": "Hello!"}),
        (user(image(PNG_URL), later=1), user(image(PNG_URL))),
        (user(file(file_data=PDF_URL)), user(file(file_data=PDF_URL, filename="filename"))),
        (assistant(content=None), assistant(content="")),
        (assistant(content="Hi.", reasoning_content="Hm."), assistant(content="Hi.")),
        (assistant(content=None, refusal="No."), assistant(content="No.")),
        (calling(arguments=""), assistant(tool_calls=[call(arguments="{}")])),
        (result([text("Sunny"), text("21 °C")]), result("Sunny\n21 °C")),
        (result("Sunny", name="weather"), result("Sunny")),
    ],
)
def test_what_haystack_has_no_place_for_goes_back_in_another_form(message: Json, back: Json) -> None:
    assert converted(message)[0].to_openai_dict_format() == back


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (user(image("https://example.com/cat.png")), "an image or a file must come as a data URL in base64"),
        (user(image(f"data:image/png,{PIXEL}")), "an image or a file must come as a data URL in base64"),
        (user(image("data:image/png;base64,no base64!")), "The base64 string is not valid"),
        (user(image("data:text/plain;base64,AAAA")), "text/plain is not a valid image MIME type"),
        (user(image(5)), "'url' must be a string"),
        (user(image(None)), "'url' must be a string"),
        (user(image(PNG_URL, detail=5)), "'detail' must be a string"),
        (user({"type": "image_url"}), "it has no 'image_url'"),
        (user({"type": "image_url", "image_url": {}}), "it has no 'url'"),
        (user({"type": "image_url", "image_url": PNG_URL}), "it is not of OpenAI's form"),
        (user(file(file_id="file-1")), "it has no 'file_data'"),
        (user(file(file_data="AAAA", filename="a.pdf")), "an image or a file must come as a data URL in base64"),
        (user(file(file_data="data:application/pdf;base64,?")), "The base64 string is not valid"),
        (user(file(file_data=PDF_URL, filename=5)), "'filename' must be a string"),
        (user(file(file_data=None)), "'file_data' must be a string"),
        (user({"type": "file", "file": None}), "it is not of OpenAI's form"),
        (user({"type": "input_audio", "input_audio": {}}), "content of the type 'input_audio' is not text, refusal"),
        (user({"text": "Hello!"}), "content of the type None is not text"),
        (user({"type": ["text"], "text": "Hello!"}), "content of the type ['text'] is not text"),
        (user({"type": "text"}), "it has no 'text'"),
        (user(text(5)), "'text' must be a string"),
        (user(text(None)), "'text' must be a string"),
        (user(text("Hello!"), name=5), "'name' must be a string"),
        ({"role": "system", "content": "Be brief.", "name": ["a"]}, "'name' must be a string"),
        (
            {"role": "system", "content": [image(PNG_URL)]},
            "a message of the role system holds text alone, not an image",
        ),
        ({"role": "function", "name": "f", "content": "1"}, "the role 'function' is not system, developer, user"),
        (assistant(content="Hi.", name={}), "'name' must be a string"),
        (assistant(content=[file(file_data=PDF_URL)]), "a message of the role assistant holds text alone, not a file"),
        (assistant(content=[{"type": "refusal", "refusal": None}]), "'refusal' must be a string"),
        (assistant(content=None, refusal=True), "'refusal' must be a string"),
        (assistant(content="Hi.", reasoning_content={"text": "Hm."}), "'reasoning_content' must be a string"),
        (assistant(content="Hi.", reasoning=5), "'reasoning' must be a string"),
        (calling(arguments="{"), "the arguments of a tool call are no JSON object"),
        (calling(arguments="[1]"), "the arguments of a tool call are no JSON object"),
        (calling(arguments="null"), "the arguments of a tool call are no JSON object"),
        (calling(arguments='{"a": NaN}'), "the arguments of a tool call are no JSON object"),
        (calling(arguments='{"a": 1} {}'), "the arguments of a tool call are no JSON object"),
        (calling(arguments=DEEP), "it is nested too deeply"),
        (calling(arguments={"city": "Paris"}), "'arguments' must be a string"),
        (calling(arguments=0), "'arguments' must be a string"),
        (calling(name=5), "'name' must be a string"),
        (calling(name=None), "'name' must be a string"),
        (calling(call_id=5), "'id' must be a string"),
        (calling(call_id=["call_1"]), "'id' must be a string"),
        (assistant(tool_calls=[{"type": "function", "function": {"name": "f"}}]), "it has no 'id'"),
        (assistant(tool_calls=[{"id": "call_1", "function": {"arguments": "{}"}}]), "it has no 'name'"),
        (assistant(tool_calls=[{"id": "call_1", "type": "custom", "custom": {}}]), "it has no 'function'"),
        (assistant(tool_calls=[{"id": "call_1", "function": "f"}]), "it is not of OpenAI's form"),
        (assistant(tool_calls=[None]), "it is not of OpenAI's form"),
        (assistant(tool_calls=["f"]), "it is not of OpenAI's form"),
        (assistant(tool_calls={"f": 1}), "it is not of OpenAI's form"),
        (assistant(tool_calls=5), "it is not of OpenAI's form"),
        ({"role": "tool", "content": "Sunny"}, "it has no 'tool_call_id'"),
        (result(tool_call_id=None), "'tool_call_id' must be a string"),
        (result(tool_call_id=5), "'tool_call_id' must be a string"),
        (result(tool_call_id=["call_1"]), "'tool_call_id' must be a string"),
        (result([image(PNG_URL)]), "a message of the role tool holds text alone, not an image"),
    ],
)
def test_what_haystack_cannot_hold_is_refused_by_its_place_and_with_a_reason(message: Json, reason: str) -> None:
    error = refusal_of({"role": "user", "content": "Hello!"}, assistant(content="Hi."), message)

    assert (error.status, error.type, error.param) == (400, "invalid_request_error", "messages[2]")
    assert error.message.startswith(f"This model cannot read messages[2]: {reason}")


def test_what_is_refused_is_not_repeated_at_length() -> None:
    address = "https://example.com/" + "cat" * 9999

    assert "cat" not in refusal_of(user(image(address))).message
    assert len(refusal_of({"role": "a" * 9999, "content": ""}).message) <= 200


def test_a_client_reads_which_message_is_at_fault(serve: Serve) -> None:
    client = serve(haystack_component(MockChatGenerator()))

    response = ask(client, [text("What is it?"), image("https://example.com/cat.png")])

    assert response.status_code == 400
    assert error_of(response) == {
        "message": "This model cannot read messages[0]: an image or a file must come as a data URL in base64, "
        "not by its address.",
        "type": "invalid_request_error",
        "param": "messages[0]",
        "code": None,
    }


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([{"role": "user", "content": "Hello!"}], "Hello!"),
        ([{"role": "user", "content": "Old"}, assistant(content="Hi."), {"role": "user", "content": "New"}], "New"),
        ([{"role": "user", "content": "Hello!"}, calling(), result()], "Hello!"),
        ([user(text("What"), image(PNG_URL), text("is it?"))], "What\nis it?"),
        ([user(image(PNG_URL))], ""),
        ([{"role": "system", "content": "Be brief."}], ""),
    ],
)
def test_the_question_is_what_the_user_said_last(messages: list[Json], expected: str) -> None:
    assert last_question(converted(*messages)) == expected


def test_parallel_tool_calls_of_chunks_are_numbered_from_zero_and_kept_apart(serve: Serve) -> None:
    """Some generators count the text as the first part of what they say."""
    pieces = [
        [ToolCallDelta(1, "weather", id="call_1", arguments="")],
        [ToolCallDelta(2, "time", id="call_2", arguments='{"zone"')],
        [ToolCallDelta(1, arguments='{"city": "Par'), ToolCallDelta(2, arguments=': "Paris"}')],
        [ToolCallDelta(1, arguments='is"}')],
    ]
    chunks = [StreamingChunk("", index=1, tool_calls=deltas) for deltas in pieces]
    end = StreamingChunk("", finish_reason="tool_calls", meta={"usage": USAGE})
    client = serve(yielding(StreamingChunk("Let me see.", index=0), *chunks, end))

    calls = [call(), call("call_2", "time", '{"zone": "Paris"}')]
    assert ask(client).json() == {
        **completion("Let me see.", finish_reason="tool_calls", tool_calls=calls),
        "usage": USAGE,
    }
    response = ask(client, stream=True)
    pieces_sent = [piece for delta in deltas_of(response) for piece in delta.get("tool_calls", ())]
    assert [(piece["index"], piece["function"]["arguments"]) for piece in pieces_sent] == [
        (0, ""),
        (1, '{"zone"'),
        (0, '{"city": "Par'),
        (1, ': "Paris"}'),
        (0, 'is"}'),
    ]
    assert finish_reason_of(response) == "tool_calls"


def test_reasoning_text_and_usage_come_as_a_generator_streams_them(serve: Serve) -> None:
    client = serve(
        yielding(
            StreamingChunk("", meta={"model": "upstream"}),
            StreamingChunk("", index=0, start=True, reasoning=ReasoningContent("Hm, ")),
            StreamingChunk("", index=0, reasoning=ReasoningContent("yes.")),
            StreamingChunk("Ye", index=1, start=True),
            StreamingChunk("s.", index=1),
            StreamingChunk("", index=1, finish_reason="stop", meta={"finish_reason": "stop"}),
            StreamingChunk("", meta={"usage": USAGE}),
        )
    )

    response = ask(client, stream=True, stream_options={"include_usage": True})
    assert [chunk["choices"][0]["delta"] for chunk in chunks_of(response)[1:-2]] == [
        {"reasoning_content": "Hm, "},
        {"reasoning_content": "yes."},
        {"content": "Ye"},
        {"content": "s."},
    ]
    assert chunks_of(response)[-1]["usage"] == USAGE
    assert ask(client).json() == {**completion("Yes.", reasoning_content="Hm, yes."), "usage": USAGE}


def test_parallel_tool_calls_of_a_message_go_out_as_they_are(serve: Serve) -> None:
    calls = [ToolCall("weather", {"city": "Zürich"}, id="call_1"), ToolCall("time", {}, id="call_2")]
    client = serve(returning(ChatMessage.from_assistant(tool_calls=calls)))

    sent = [call(arguments='{"city":"Zürich"}'), call("call_2", "time", "{}")]
    assert ask(client).json() == completion(None, finish_reason="tool_calls", tool_calls=sent)
    streamed = [piece for delta in deltas_of(ask(client, stream=True)) for piece in delta["tool_calls"]]
    assert streamed == [{"index": 0, **sent[0]}, {"index": 1, **sent[1]}]


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
def test_the_finish_reason_in_the_meta_of_a_message_is_the_clients(serve: Serve, reason: str) -> None:
    message = ChatMessage.from_assistant("Hi", meta={"finish_reason": reason, "index": 0, "model": "upstream"})
    client = serve(returning(message))

    assert finish_reason_of(ask(client)) == reason
    assert finish_reason_of(ask(client, stream=True)) == reason


def test_an_answer_is_the_same_message_when_the_client_sends_it_back(serve: Serve) -> None:
    calls = [ToolCall("weather", {"city": "Paris"}, id="call_1"), ToolCall("time", {}, id="call_2")]
    message = ChatMessage.from_assistant("Let me see.", tool_calls=calls, reasoning="Hm.")
    client = serve(returning(message))

    assert converted(ask(client).json()["choices"][0]["message"]) == [message]
