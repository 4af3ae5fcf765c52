"""Pack `examples`: models that call a tool, reason before they answer, and send events."""

import json

from app.examples.models import models
from tests.conftest import Serve, ask, chunks_of, message_of

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"properties": {"city": {}}}}}
QUESTION = {"role": "user", "content": "Paris?"}


def test_the_model_tools_calls_a_tool_and_uses_its_result(serve: Serve) -> None:
    client = serve(models)
    asked = message_of(ask(client, model="tools", messages=[QUESTION], tools=[TOOL]))
    (call,) = asked["tool_calls"]
    result = {"role": "tool", "tool_call_id": call["id"], "content": "18 degrees"}
    answered = ask(client, model="tools", messages=[QUESTION, asked, result], tools=[TOOL])
    assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("weather", {"city": "Paris?"})
    assert message_of(answered)["content"] == "The tool says: 18 degrees"


def test_the_models_reasoning_and_events_send_their_reasoning_and_progress_beside_their_answers(serve: Serve) -> None:
    message = message_of(ask(client := serve(models), model="reasoning"))
    assert message["reasoning_content"].startswith("The user wrote 6 characters.")
    assert message["content"] == "You wrote 6 characters."
    chunks = chunks_of(ask(client, "abc", model="events", stream=True))
    assert [chunk["event"]["data"]["done"] for chunk in chunks if "event" in chunk] == [False, True]
