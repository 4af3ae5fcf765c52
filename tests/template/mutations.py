"""Random JSON values, and random changes of a JSON object."""

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from schemas.chat import Json

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=8,
)


@st.composite
def mutations_of(draw: st.DrawFn, value: Json) -> Json:
    """An object with up to three of its values, at any depth, replaced, removed or added."""
    mutated: Json = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        if found := [*places(mutated)]:
            container, key = draw(st.sampled_from(found))
            match draw(st.sampled_from(["replace", "remove", "add"])):
                case "replace":
                    container[key] = draw(json_values)
                case "remove":
                    del container[key]
                case _ if isinstance(container, dict):
                    container[f"x{draw(st.text(max_size=8))}"] = draw(json_values)
                case _:
                    container.append(draw(json_values))
    return mutated


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each container in a JSON value with each of its keys."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])
