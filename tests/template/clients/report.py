"""What the script of a client tells: by model, whole and streamed, what it read, each as a line of JSON."""

import json
import sys
from collections.abc import Callable

URL, TRANSPORT, *MODELS = sys.argv[1:]


def get_weather(city: str) -> str:
    """Return the weather in a city."""
    return f"Rain in {city}."


def report(ask: Callable[[str, bool], dict[str, object]]) -> None:
    """Ask each model, and print what a client reads, or its error."""
    for model in MODELS:
        for stream in (False, True):
            try:
                read = ask(model, stream)
            except Exception as error:
                read = {"error": str(error)}
            print(json.dumps([model, stream, read]), flush=True)  # noqa: T201 - it is the output of a script
