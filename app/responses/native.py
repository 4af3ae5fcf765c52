"""Items that a service gives itself, by the events of the Responses API, or whole."""

from collections.abc import Iterator, Sequence

from app.responses.events import ADDED, DONE, Events
from app.responses.ids import new_item_id
from app.responses.items import ANNOTATION, CALLS, PARTS, OpenItem
from schemas.chat import Json


class NativeItems:
    """Adds a service's own items to a response: their events get new numbers, and they a place in the output."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._items: dict[str, OpenItem] = {}  # by id

    def add_event(self, event: Json) -> None:
        """Add an event; one that ends an item that has not begun stands for the whole item."""
        told, name = event.get("item") or {}, event["type"]
        item = self._items.get(told.get("id") or event.get("item_id") or "")
        if item is not None and name != ADDED:
            self._events.tell(item, event)
        elif name == DONE:
            self.add(told)
        elif name != ADDED:
            self._events.send(event)
        elif item is None:
            self._begin(told)

    def add(self, whole: Json) -> None:
        """Add a whole item, by events that add up to it: each of its texts is one delta."""
        begun: Json = {name: [] for name in ("content", "summary") if whole.get(name)}
        events = [event for name in begun for event in _part_events(f"{name}_index", whole[name])]
        if call := CALLS.get(whole["type"]):
            begun[call.field] = ""
            events = [{"type": f"response.{call.event}.delta", "delta": whole[call.field]}]
        item = self._begin(whole | begun | ({"status": "in_progress"} if begun else {}))
        for event in (*events, {"type": DONE, "item": whole | {"id": item.item["id"]}}):
            self._events.tell(item, event)

    def add_missing(self, items: Sequence[Json]) -> None:
        """Add what no event has told of the output that ends a response; nothing if a chat's parts are the output."""
        for item in items:
            known = self._items.get(item.get("id") or "")
            if not known.has_ended if known else self._items or not self._events.response.output:
                self.add_event({"type": DONE, "item": item})

    def _begin(self, item: Json) -> OpenItem:
        item["id"] = item.get("id") or new_item_id(item["type"])
        begun = self._items[item["id"]] = OpenItem(item)
        self._events.begin_item(begun)
        return begun


def _part_events(index_name: str, parts: Sequence[Json]) -> Iterator[Json]:
    for index, part in enumerate(parts):
        if kind := PARTS.get(part["type"]):
            place, logprobs = {index_name: index}, part.get("logprobs")
            yield {"type": f"response.{kind.part_event}.added", **place, "part": {"type": part["type"]}}
            delta = {"type": f"response.{kind.event}.delta", **place, "delta": part[kind.field]}
            yield delta | {"logprobs": logprobs} if logprobs else delta
            for annotation in part.get("annotations") or ():
                yield {"type": ANNOTATION, **place, "annotation": annotation}
