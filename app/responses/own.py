"""What a service that knows the Responses API says in its words: events, or a whole response, as dicts or objects."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from app.completions.items import Item, is_response
from schemas.responses import Response

__all__ = ["chat_usage", "own_events"]

Json: TypeAlias = dict[str, Any]


def own_events(item: Item) -> list[Json] | None:
    """The events that an item is, or stands for; None if it is something else."""
    if type(item) is str:
        return None
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    if isinstance(kind, str) and kind.startswith("response."):
        return [_dict_of(item)]
    return list(_events_of(_dict_of(item))) if is_response(item) else None


def chat_usage(usage: Json | None) -> Json | None:
    """Usage in the names of a chat, which is counted by them."""
    return usage and {
        "prompt_tokens": usage.get("input_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens": usage.get("output_tokens"),
        "completion_tokens_details": usage.get("output_tokens_details"),
        "total_tokens": usage.get("total_tokens"),
    }


def _events_of(response: Json) -> Iterator[Json]:
    for item in response["output"]:
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
    yield {"type": f"response.{response.get('status') or 'completed'}", "response": response}


def _dict_of(value: Any) -> Json:
    if isinstance(value, dict):
        return value
    known: Json = msgspec.to_builtins(value) if isinstance(value, Response) else value.model_dump(mode="json")
    return known
