"""Buckets: a minute's worth of requests, which fills again all the time."""

import pytest

from app.limits.buckets import Allowance, MemoryBuckets, Rate

pytestmark = pytest.mark.anyio


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> int:
        return int(self.seconds * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def granted(buckets: MemoryBuckets, times: int, caller: str = "me") -> int:
    return [(await buckets.take(caller)).granted for _ in range(times)].count(True)


@pytest.mark.parametrize("requests", [1, 3, 60, 7, 999])
async def test_a_full_bucket_holds_a_minutes_worth(clock: Clock, requests: int) -> None:
    assert await granted(MemoryBuckets(Rate(requests), clock), requests + 5) == requests


async def test_each_caller_has_a_bucket(clock: Clock) -> None:
    buckets = MemoryBuckets(Rate(2), clock)

    assert await granted(buckets, 5, "me") == 2
    assert await granted(buckets, 5, "you") == 2


async def test_a_bucket_fills_again_bit_by_bit(clock: Clock) -> None:
    buckets = MemoryBuckets(Rate(6), clock)
    await granted(buckets, 6)

    for seconds, more in ((9.9, 0), (0.1, 1), (25, 2), (5, 1), (600, 6)):
        clock.seconds += seconds
        assert await granted(buckets, 10) == more


async def test_a_refusal_costs_nothing(clock: Clock) -> None:
    buckets = MemoryBuckets(Rate(1), clock)
    await granted(buckets, 100)

    clock.seconds += 60

    assert await granted(buckets, 1) == 1


async def test_an_allowance_says_when_the_bucket_is_full(clock: Clock) -> None:
    buckets = MemoryBuckets(Rate(2), clock)

    assert await buckets.take("me") == Allowance(granted=True, full_in=30_000_000)
    clock.seconds += 10
    assert await buckets.take("me") == Allowance(granted=True, full_in=50_000_000)
    assert await buckets.take("me") == Allowance(granted=False, full_in=50_000_000)


async def test_full_buckets_are_forgotten(clock: Clock) -> None:
    buckets = MemoryBuckets(Rate(10), clock)
    for number in range(1000):
        await buckets.take(f"address {number}")
    clock.seconds += 61

    await granted(buckets, 10)

    assert len(buckets) == 1
    assert await granted(buckets, 1) == 0
