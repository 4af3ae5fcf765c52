"""What a service that knows the Responses API says in its words: events, or a whole response, as dicts or objects."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from app.engine.results import Item, is_response, is_response_event
from app.responses.ids import new_item_id
from schemas.responses import Response

__all__ = ["own_events"]

Json: TypeAlias = dict[str, Any]

ENDINGS = ("incomplete", "failed", "cancelled")  # besides `completed`


def own_events(item: Item) -> list[Json] | None:
    """The events that an item is, or stands for; None if it is something else."""
    if type(item) is str:
        return None
    if is_response_event(item):
        return [_dict_of(item)]
    return list(_events_of(_dict_of(item))) if is_response(item) else None


def _events_of(response: Json) -> Iterator[Json]:
    for item in map(_identified, response["output"]):
        is_message = item["type"] == "message"
        begun = {"status": "in_progress", "content": []} if is_message else {}
        yield {"type": "response.output_item.added", "item": item | begun}
        for index, part in enumerate(item["content"] if is_message else ()):
            place = {"item_id": item["id"], "content_index": index}
            kind, text = ("refusal", "refusal") if part["type"] == "refusal" else ("output_text", "text")
            about: Json = {} if kind == "refusal" else {"logprobs": []}
            yield {"type": "response.content_part.added", **place, "part": part | {text: ""}}
            yield {"type": f"response.{kind}.delta", **place, "delta": part[text], **about}
            yield {"type": f"response.{kind}.done", **place, text: part[text], **about}
            yield {"type": "response.content_part.done", **place, "part": part}
        yield {"type": "response.output_item.done", "item": item}
    status = response.get("status")
    yield {"type": f"response.{status if status in ENDINGS else 'completed'}", "response": response}


def _identified(item: Json) -> Json:
    return item if item.get("id") else item | {"id": new_item_id(item["type"])}


def _dict_of(value: Any) -> Json:
    if isinstance(value, dict):
        return value
    if isinstance(value, Response):
        known: Json = msgspec.to_builtins(value)
        return known
    dumped: Json = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return dumped
