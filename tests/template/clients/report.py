"""What the script of a client tells: by transport and model, whole and streamed, what it read, as lines of JSON."""

import json
import sys
from collections.abc import Callable
from itertools import product

URL, TRANSPORTS, *MODELS = sys.argv[1:]


def get_weather(city: str) -> str:
    """Return the weather in a city."""
    return f"Rain in {city}."


def report(ask: Callable[[str, bool], dict[str, object]]) -> None:
    """Ask each model over HTTP, and print what a client reads, or its error."""
    report_by_transport(lambda _, model, stream: ask(model, stream))


def report_by_transport(ask: Callable[[str, str, bool], dict[str, object]]) -> None:
    """Ask each model over each transport, and print what a client reads, or its error."""
    for transport, model, stream in product(TRANSPORTS.split(","), MODELS, (False, True)):
        try:
            read = ask(transport, model, stream)
        except Exception as error:
            read = {"error": str(error)}
        print(json.dumps([model, stream, read]), flush=True)  # noqa: T201 - it is the output of a script
