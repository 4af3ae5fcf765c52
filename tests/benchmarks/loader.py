"""The process that loads a server: `python -m tests.benchmarks.loader '{"type": …}'`."""

import asyncio
import math
import sys
from collections.abc import Sequence
from itertools import chain
from time import perf_counter, process_time

import msgspec
import uvloop

from tests.benchmarks.client import Answer, Connection, Question, chat, list_models
from tests.benchmarks.load import Hold, Repeat, Report, Together

WATCH_EVERY = 0.02  # seconds


async def main(load: Repeat | Together | Hold) -> None:
    """Connect first, so that what is measured is answers; then ask."""
    question = chat(load.model)
    connections = [await Connection.open(load.port) for _ in range(load.connections)]
    match load:
        case Repeat():
            print(msgspec.json.encode(await _repeat(load, connections, question)).decode())
        case Together():
            print(msgspec.json.encode(await _together(load, connections, question)).decode())
        case Hold():
            await _hold(connections, question)


async def _repeat(load: Repeat, connections: Sequence[Connection], question: Question) -> Report:
    end = perf_counter() + load.seconds

    async def repeat(connection: Connection) -> list[Answer]:
        answers = []
        while perf_counter() < end:
            answers.append(await connection.ask(question))
        return answers

    started, cpu = perf_counter(), process_time()
    answers = list(chain.from_iterable(await asyncio.gather(*map(repeat, connections))))
    return _report(answers, perf_counter() - started, process_time() - cpu)


async def _together(load: Together, connections: Sequence[Connection], question: Question) -> Report:
    watcher = await Connection.open(load.port)
    started, cpu = perf_counter(), process_time()
    asking = asyncio.gather(*(connection.ask(question) for connection in connections))
    waits = await _watch(watcher, asking) if load.watch else [0.0]
    answers = await asking
    seconds = max(answer.done_at for answer in answers) - min(answer.asked_at for answer in answers)
    report = _report(answers, seconds, process_time() - cpu, perf_counter() - started)
    return msgspec.structs.replace(report, models_p99=_percentile(waits, 99))


async def _watch(connection: Connection, until: "asyncio.Future[list[Answer]]") -> list[float]:
    """How long it takes to list the models, asked at fixed times: one that is late delays those after it."""
    waits = []
    due = perf_counter()
    while not until.done():
        answer = await connection.ask(list_models())
        waits.append(answer.done_at - due)
        due += WATCH_EVERY
        await asyncio.sleep(max(0, due - perf_counter()))
    return waits


async def _hold(connections: Sequence[Connection], question: Question) -> None:
    await asyncio.gather(*(connection.ask_for_first(question) for connection in connections))
    if wrong := sum((connection.answer.status, connection.answer.found) != (200, 1) for connection in connections):
        raise ValueError(f"{wrong} of {len(connections)} streams did not begin")
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def _report(answers: Sequence[Answer], seconds: float, cpu: float, wall: float | None = None) -> Report:
    firsts = [answer.first_at - answer.asked_at for answer in answers]
    return Report(
        answers=len(answers),
        seconds=seconds,
        load_cpu=cpu / (wall or seconds),
        first_p50=_percentile(firsts, 50),
        first_p99=_percentile(firsts, 99),
    )


def _percentile(values: Sequence[float], percent: float) -> float:
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


if __name__ == "__main__":
    try:
        uvloop.run(main(msgspec.json.decode(sys.argv[1], type=Repeat | Together | Hold)))
    except (ConnectionError, ValueError) as error:
        raise SystemExit(str(error)) from None
