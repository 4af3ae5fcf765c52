"""Items and events of the Responses API that a service gives itself: a whole response, or the events of one."""

from collections.abc import Iterator
from typing import Any

import msgspec

from app.engine.items import Item, is_response, is_response_event
from app.errors import CompletionError
from app.responses.ids import new_item_id
from app.responses.open_items import ARGUMENTS, INPUT, REASONING, REFUSAL, SUMMARY, TEXT
from schemas.chat import Json
from schemas.responses import Response

ENDINGS = ("incomplete", "failed", "cancelled")  # statuses besides `completed`
PARTS = {"output_text": TEXT, "refusal": REFUSAL, "reasoning_text": REASONING, "summary_text": SUMMARY}
CALLS = {"function_call": ARGUMENTS, "custom_tool_call": INPUT}


def native_events(item: Item) -> list[Json] | None:
    """Return the events that an item is or stands for, or None if it is something else."""
    if type(item) is str:
        return None
    if is_response_event(item):
        return [_to_dict(item)]
    return list(events_of(_to_dict(item))) if is_response(item) else None


def events_of(response: Json) -> Iterator[Json]:
    """Yield the events of the items of a whole response, and the one that ends it."""
    for item in response["output"]:
        yield from events_of_item(item)
    status = response.get("status")
    yield {"type": f"response.{status if status in ENDINGS else 'completed'}", "response": response | {"output": []}}


def events_of_item(item: Json) -> Iterator[Json]:
    """Yield the events of a whole item: each of its texts is one delta."""
    item = item if item.get("id") else item | {"id": new_item_id(item["type"])}
    lists = [name for name in ("content", "summary") if item["type"] in ("message", "reasoning") and item.get(name)]
    call = CALLS.get(item["type"])
    begun: Json = {name: [] for name in lists} | ({call.field: ""} if call else {})
    yield {"type": "response.output_item.added", "item": item | begun | ({"status": "in_progress"} if begun else {})}
    for name in lists:
        for index, part in enumerate(item[name]):
            yield from _events_of_part({"item_id": item["id"], f"{name}_index": index}, part)
    if call:
        place = {"item_id": item["id"]}
        yield {"type": f"response.{call.event}.delta", **place, "delta": item[call.field]}
        yield {"type": f"response.{call.event}.done", **place, call.field: item[call.field], "name": item["name"]}
    yield {"type": "response.output_item.done", "item": item}


def failure_of(error: Json) -> CompletionError:
    """Return the error that an event of a service holds."""
    return CompletionError(error.get("message") or "The model failed to respond.", code=error.get("code"))


def _events_of_part(place: Json, part: Json) -> Iterator[Json]:
    kind = PARTS.get(part["type"], TEXT)
    text = part[kind.field]
    more = {"logprobs": part.get("logprobs") or []} if kind is TEXT else {}
    begun: Json = {kind.field: ""} | ({"annotations": [], "logprobs": []} if kind is TEXT else {})
    yield {"type": f"response.{kind.part_event}.added", **place, "part": part | begun}
    yield {"type": f"response.{kind.event}.delta", **place, "delta": text, **more}
    for index, annotation in enumerate(part.get("annotations") or ()):
        added = {"annotation_index": index, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **place, **added}
    yield {"type": f"response.{kind.event}.done", **place, kind.field: text, **more}
    yield {"type": f"response.{kind.part_event}.done", **place, "part": part}


def _to_dict(value: Any) -> Json:
    if isinstance(value, Response):
        value = msgspec.to_builtins(value)
    elif not isinstance(value, dict):  # an object of the `openai` package
        value = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    fields: Json = value
    return fields
