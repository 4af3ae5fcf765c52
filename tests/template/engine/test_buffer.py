"""The hand-over of items: bounded, in order, and never stuck."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from app.engine.buffer import Buffer

pytestmark = pytest.mark.anyio
PATIENCE = 10.0  # seconds after which a test gives up


async def take_all(buffer: Buffer[int]) -> list[int]:
    taken: list[int] = []
    while not buffer.exhausted:
        taken.extend(await buffer.take())
    return taken


def from_a_thread(buffer: Buffer[int], amount: int) -> list[bool]:
    return [buffer.put_from_thread(item) for item in range(amount)]


async def test_all_that_waits_is_taken_at_once() -> None:
    buffer = Buffer[int](8, idle=0)
    for item in range(3):
        assert buffer.put(item)

    assert await buffer.take() == [0, 1, 2]


async def test_a_consumer_waits_for_the_first_item() -> None:
    buffer = Buffer[int](8, idle=0)
    taking = asyncio.create_task(buffer.take())
    await asyncio.sleep(0)
    assert not taking.done()

    buffer.put(1)

    assert await taking == [1]


async def test_there_is_no_room_over_the_limit() -> None:
    buffer = Buffer[int](2, idle=0)

    assert [buffer.put(item) for item in range(3)] == [True, True, False]
    assert await buffer.take() == [0, 1]


async def test_a_producer_waits_for_room() -> None:
    buffer = Buffer[int](1, idle=0)
    buffer.put(0)
    putting = asyncio.create_task(buffer.send(1))
    await asyncio.sleep(0)
    assert not putting.done()

    assert await buffer.take() == [0]
    await putting

    assert await buffer.take() == [1]


@pytest.mark.parametrize("limit", [1, 2, 128])
async def test_all_items_of_a_task_arrive_in_order(limit: int) -> None:
    buffer = Buffer[int](limit, idle=0)

    async def produce() -> None:
        for item in range(1000):
            await buffer.send(item)
        buffer.close()

    producing = asyncio.create_task(produce())

    assert await take_all(buffer) == list(range(1000))
    await producing


@pytest.mark.parametrize("limit", [1, 2, 128])
async def test_all_items_of_a_thread_arrive_in_order(limit: int) -> None:
    buffer = Buffer[int](limit, idle=0)

    async def produce() -> None:
        await asyncio.to_thread(from_a_thread, buffer, 1000)
        buffer.close()

    producing = asyncio.create_task(produce())

    assert await take_all(buffer) == list(range(1000))
    await producing


async def test_closing_lets_what_waits_be_taken_and_tells_why() -> None:
    buffer = Buffer[int](8, idle=0)
    buffer.put(1)
    error = ValueError("why")

    buffer.close(error)

    assert (buffer.closed, buffer.exhausted) == (True, False)
    assert await buffer.take() == [1]
    assert (buffer.exhausted, buffer.error) == (True, error)


async def test_the_first_reason_to_close_is_the_one_that_counts() -> None:
    buffer = Buffer[int](8, idle=0)

    buffer.close()
    buffer.close(ValueError("too late"))

    assert buffer.error is None


async def test_closing_wakes_a_consumer_that_waits() -> None:
    buffer = Buffer[int](8, idle=0)
    taking = asyncio.create_task(buffer.take())
    await asyncio.sleep(0)

    buffer.close()

    assert await taking == []


async def test_closing_frees_a_producer_that_waits() -> None:
    buffer = Buffer[int](1, idle=0)
    buffer.put(0)
    putting = asyncio.create_task(buffer.send(1))
    await asyncio.sleep(0)

    buffer.close()
    await putting

    assert await take_all(buffer) == [0]


async def test_closing_frees_a_thread_and_tells_it_to_stop() -> None:
    buffer = Buffer[int](1, idle=0)

    with ThreadPoolExecutor(1) as executor:
        putting = executor.submit(from_a_thread, buffer, 3)
        assert await buffer.take() == [0]
        buffer.close()
        accepted = putting.result(PATIENCE)

    assert accepted[-1] is False


async def test_a_task_that_goes_on_after_the_end_does_not_hold_the_loop() -> None:
    buffer = Buffer[int](1, idle=0)
    buffer.close()

    async def produce() -> None:
        for item in count():
            await buffer.send(item)

    producing = asyncio.create_task(produce())
    await asyncio.sleep(0)  # which would not return if the producer held the loop
    producing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await producing


async def test_an_idle_buffer_gives_nothing_again_and_again() -> None:
    buffer = Buffer[int](8, idle=0.01)

    assert [await buffer.take(), await buffer.take()] == [[], []]
    assert not buffer.exhausted
    buffer.put(1)
    assert await buffer.take() == [1]
    buffer.close()


async def test_producers_on_the_loop_and_in_threads_all_get_room() -> None:
    buffer = Buffer[int](2, idle=0)

    async def on_the_loop() -> None:
        for item in range(100):
            await buffer.send(item)

    async def produce() -> None:
        in_threads = (loop.run_in_executor(pool, from_a_thread, buffer, 100) for _ in range(3))
        await asyncio.gather(*in_threads, *(on_the_loop() for _ in range(3)))
        buffer.close()

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(3) as pool:
        producing = asyncio.create_task(produce())
        taken = await asyncio.wait_for(take_all(buffer), PATIENCE)
        await producing

    assert sorted(taken) == sorted([*range(100)] * 6)


async def test_who_cannot_wait_is_let_in_over_the_limit() -> None:
    buffer = Buffer[int](1, idle=0)
    buffer.put(0)

    buffer.put_anyway(1)

    assert await buffer.take() == [0, 1]
