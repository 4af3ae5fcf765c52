"""How many answers a second a server gives: by `wrk` where it is installed, else by a load of our own."""

import resource
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import msgspec
from msgspec import Struct

from tests.benchmarks.client import Question, chat
from tests.benchmarks.load import LoadError, Repeat, Report, run
from tests.benchmarks.models import MODELS
from tests.benchmarks.servers import KEY, Server

__all__ = ["GENERATOR", "WRK", "measure_throughput"]

CONNECTIONS = 16
WRK = shutil.which("wrk")
GENERATOR = "wrk" if WRK else "a client of our own (`wrk` is not installed)"
SCRIPT = Path(__file__).with_name("wrk.lua")


class _Summary(Struct):
    requests: int
    microseconds: int
    bytes: int
    errors: int


def measure_throughput(server: Server, model: str, seconds: float) -> Report:
    """Ask over 16 connections at once.

    Raises:
        LoadError: an answer was not right.
    """
    if WRK is None:
        return run(Repeat(port=server.port, model=model, connections=CONNECTIONS, seconds=seconds))
    url, question = f"http://127.0.0.1:{server.port}{MODELS[model].path}", chat(model)
    size = _size_of_right_answer(url, question)
    started, cpu = time.monotonic(), _cpu_of_children()
    command = [WRK, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", f"-s{SCRIPT}", url, "--", _body(question).decode(), KEY]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    share = (_cpu_of_children() - cpu) / (time.monotonic() - started)
    summary = msgspec.json.decode(output.splitlines()[-1], type=_Summary)
    if summary.errors or not summary.requests:
        raise LoadError(f"{summary.errors} of {summary.requests} answers were errors")
    if summary.bytes < summary.requests * size:
        raise LoadError(f"{summary.requests} answers had {summary.bytes} bytes, but a right one has {size} at least")
    return Report(answers=summary.requests, seconds=summary.microseconds / 1e6, load_cpu=share)


def _size_of_right_answer(url: str, question: Question) -> int:
    """The bytes of a right answer's body, which each answer is held to, as `wrk` does not look into them."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    try:
        body = httpx.post(url, content=_body(question), headers=headers).raise_for_status().content
    except httpx.HTTPError as error:
        raise LoadError(f"answered: {error}") from None
    if (found := body.count(question.text)) != question.times:
        raise LoadError(f"answered with {found} of {question.times} texts")
    return len(body)


def _body(question: Question) -> bytes:
    return question.request.partition(b"\r\n\r\n")[2]


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
