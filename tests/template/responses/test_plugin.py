"""The store of kept responses."""

import asyncio
from datetime import timedelta

import pytest

from app.responses.plugin import OVERHEAD, BoundedStore, response_store
from app.settings import Secret, Settings, SettingsError

pytestmark = pytest.mark.anyio


async def test_a_value_is_there_until_it_is_deleted() -> None:
    store = BoundedStore(10_000)
    await store.set("a", "one")
    await store.set("b", b"two")
    assert (await store.get("a"), await store.exists("b"), await store.expires_in("b")) == (b"one", True, -1)
    await store.delete("a")
    assert (await store.get("a"), await store.exists("a"), await store.expires_in("a")) == (None, False, None)
    await store.delete_all()
    assert not await store.exists("b")


async def test_the_oldest_make_room() -> None:
    store = BoundedStore(3 * (OVERHEAD + 1))
    for key in "abcd":
        await store.set(key, key)
    assert [key for key in "abcd" if await store.exists(key)] == ["b", "c", "d"]
    await store.set("b", "!")
    await store.set("e", "e")
    assert [key for key in "abcde" if await store.exists(key)] == ["b", "d", "e"]


async def test_what_is_larger_than_the_limit_is_not_kept_and_drives_nothing_out() -> None:
    store = BoundedStore(OVERHEAD + 10)
    await store.set("a", "one")
    await store.set("b", "x" * 11)
    assert (await store.exists("a"), await store.exists("b")) == (True, False)


async def test_what_has_expired_is_not_there_and_takes_no_room() -> None:
    store = BoundedStore(10_000)
    await store.set("a", "one", timedelta(seconds=-1))
    assert await store.get("a") is None
    await store.set("b", "two", 100)
    assert await store.expires_in("a") is None
    assert 90 < (await store.expires_in("b") or 0) <= 100


async def test_a_value_that_was_read_stays_longer_than_one_that_was_not() -> None:
    store = BoundedStore(2 * (OVERHEAD + 1))
    await store.set("a", "a")
    await store.set("b", "b")
    await store.get("a")
    await store.set("c", "c")
    assert [key for key in "abc" if await store.exists(key)] == ["a", "c"]


async def test_an_expired_value_makes_room_before_one_that_has_not_expired() -> None:
    store = BoundedStore(2 * (OVERHEAD + 1))
    await store.set("a", "a")
    await store.set("b", "b", timedelta(milliseconds=1))
    await asyncio.sleep(0.002)
    await store.set("c", "c")
    assert [key for key in "abc" if await store.exists(key)] == ["a", "c"]


async def test_a_larger_value_takes_the_place_of_the_one_before_it() -> None:
    store = BoundedStore(OVERHEAD + 1)
    await store.set("a", "a")
    await store.set("a", "too large")
    assert not await store.exists("a")


async def test_reading_may_renew() -> None:
    store = BoundedStore(10_000)
    await store.set("a", "one", 1)
    assert await store.get("a", renew_for=100) == b"one"
    assert (await store.expires_in("a") or 0) > 90


async def test_an_address_that_is_none_is_said_without_its_password() -> None:
    with pytest.raises(SettingsError, match="is no address of a Redis") as caught:
        response_store(Settings(redis_url=Secret("http://:hunter2@localhost")))
    assert "hunter2" not in str(caught.value)
