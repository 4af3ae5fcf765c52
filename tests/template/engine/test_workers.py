"""Threads for sync code: as many as allowed, and not one more."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from app.engine.run import Run, current_run, finish_without_client, is_cancelled, run_sync
from app.engine.threads import Executor, Workers
from app.errors import OverloadedError

pytestmark = pytest.mark.anyio
PATIENCE = 10.0  # seconds after which a test gives up
variable: ContextVar[str] = ContextVar("variable")


async def until_idle(workers: Workers) -> None:
    while workers.busy:  # noqa: ASYNC110 - they offer no event to wait for
        await asyncio.sleep(0)


async def test_a_function_runs_in_a_daemon_thread() -> None:
    thread = await Workers(1).run(threading.current_thread)

    assert thread is not threading.current_thread()
    assert thread.daemon


async def test_arguments_and_results_are_passed_on() -> None:
    assert await Workers(1).run(divmod, 7, 2) == (3, 1)
    assert await Workers(1).run(int, "11", base=2) == 3


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
async def test_whatever_a_function_raises_is_raised(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("why")

    with pytest.raises(error, match="why"):
        await Workers(1).run(fail)


async def test_a_stop_iteration_is_an_error_like_any_other() -> None:
    def stop() -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        await Workers(1).run(stop)


async def test_context_variables_are_carried_along() -> None:
    variable.set("mine")

    assert await Workers(1).run(variable.get) == "mine"


async def test_a_thread_does_one_job_after_another() -> None:
    workers = Workers(1)

    names = {await workers.run(lambda: threading.current_thread().name) for _ in range(10)}

    assert len(names) == 1
    assert workers.busy == 0


async def test_more_jobs_than_threads_are_turned_away_until_one_is_free() -> None:
    workers, leave = Workers(2), threading.Event()
    held = [asyncio.create_task(workers.run(leave.wait, PATIENCE)) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(OverloadedError):
        await workers.run(int)
    leave.set()

    assert await asyncio.gather(*held) == [True, True]
    assert await workers.run(int) == 0


async def test_a_job_whose_caller_has_gone_is_counted_until_it_ends() -> None:
    workers, leave = Workers(1), threading.Event()
    held = asyncio.create_task(workers.run(leave.wait, PATIENCE))
    await asyncio.sleep(0)

    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held

    assert workers.busy == 1
    leave.set()
    await until_idle(workers)
    assert await workers.run(int) == 0


async def test_what_was_made_for_a_caller_who_has_gone_is_closed() -> None:
    closed, leave = threading.Event(), threading.Event()

    class Made:
        def close(self) -> None:
            closed.set()

    def make() -> Made:
        leave.wait(PATIENCE)
        return Made()

    workers = Workers(1)
    held = asyncio.create_task(workers.run(make))
    await asyncio.sleep(0)
    held.cancel()
    leave.set()
    await until_idle(workers)

    assert closed.is_set()


async def test_code_of_a_completion_runs_in_its_threads() -> None:
    workers = Workers(1)
    current_run.set(Run(workers, outlives_client=False))

    assert await run_sync(lambda: workers.busy) == 1


async def test_code_outside_of_a_completion_runs_in_any_thread() -> None:
    assert await run_sync(threading.current_thread) is not threading.current_thread()


@pytest.mark.parametrize("ask", [is_cancelled, finish_without_client])
async def test_code_outside_of_a_completion_may_ask_too(ask: Callable[[], Any]) -> None:
    assert not ask()


async def test_code_of_a_completion_learns_that_nobody_waits() -> None:
    run = Run(Workers(1), outlives_client=False)
    current_run.set(run)
    before = await run_sync(is_cancelled)

    run.cancelled = True

    assert (before, await run_sync(is_cancelled)) == (False, True)


async def test_code_of_a_completion_may_want_to_outlive_its_client() -> None:
    run = Run(Workers(1), outlives_client=False)
    current_run.set(run)

    await run_sync(finish_without_client)

    assert run.outlives_client


async def test_asyncios_own_threads_are_daemons_too() -> None:
    thread = await asyncio.get_running_loop().run_in_executor(Executor(1), threading.current_thread)

    assert thread.daemon


@pytest.mark.parametrize("error", [ValueError, SystemExit])
async def test_whatever_a_function_raises_comes_out_of_asyncios_threads(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("why")

    with pytest.raises(error, match="why"):
        await asyncio.get_running_loop().run_in_executor(Executor(1), fail)


async def test_asyncios_calls_wait_while_all_threads_are_busy() -> None:
    executor, gate = Executor(2), threading.Event()
    idents: set[int] = set()

    def note() -> None:
        idents.add(threading.get_ident())

    held = [executor.submit(gate.wait, PATIENCE) for _ in range(2)]
    waiting = [executor.submit(note) for _ in range(10)]
    assert not any(future.running() or future.done() for future in waiting)

    gate.set()
    assert await asyncio.gather(*map(asyncio.wrap_future, held)) == [True, True]
    await asyncio.gather(*map(asyncio.wrap_future, waiting))
    assert len(idents) <= 2


async def test_one_of_asyncios_threads_serves_calls_that_follow_each_other() -> None:
    loop, executor = asyncio.get_running_loop(), Executor(5)

    async def ident() -> int:
        await asyncio.sleep(0.01)
        return await loop.run_in_executor(executor, threading.get_ident)

    assert len({await ident() for _ in range(5)}) == 1


async def test_a_call_whose_caller_has_left_before_it_began_is_dropped() -> None:
    loop, executor, gate, begun = asyncio.get_running_loop(), Executor(1), threading.Event(), threading.Event()
    held = loop.run_in_executor(executor, gate.wait, PATIENCE)
    calling = loop.run_in_executor(executor, begun.set)
    calling.cancel()
    await asyncio.sleep(0)

    gate.set()

    assert await held
    assert await loop.run_in_executor(executor, begun.is_set) is False


async def test_a_call_whose_caller_has_left_ends_without_harm() -> None:
    loop, executor, gate = asyncio.get_running_loop(), Executor(1), threading.Event()
    calling = loop.run_in_executor(executor, gate.wait, PATIENCE)
    calling.cancel()

    gate.set()

    assert await asyncio.wait_for(loop.run_in_executor(executor, int), PATIENCE) == 0
