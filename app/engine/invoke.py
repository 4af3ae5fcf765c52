"""Calls of user functions: sync or async, with the arguments that they name."""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache, partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from app.engine.run import run_sync

SECRET_HEADERS = frozenset({b"authorization", b"cookie"})
ARGUMENTS = ("model", "messages", "body")
OF_EMBEDDERS = ("dimensions", "body", "headers")  # pack: embeddings
CachedFunction = type(lru_cache(len))


async def call(function: Callable[..., Any], *args: object, **kwargs: object) -> Any:
    """Call a function on the event loop if it is async, or else in a thread, and await an awaitable result."""
    task = asyncio.current_task()
    try:
        if _is_lazy(_hashable(function)):
            result = function(*args, **kwargs)
        else:
            result = await run_sync(function, *args, **kwargs)
        return await result if hasattr(result, "__await__") else result
    except BaseException as error:
        is_closed = isinstance(error, GeneratorExit) and asyncio.current_task() is not task
        if isinstance(error, Exception) or is_closed or (task is not None and task.cancelling()):
            raise
        raise RuntimeError(f"A function raised {error!r}.") from error  # SystemExit would stop the event loop


async def call_service(
    function: Callable[..., Any], model: str, messages: list[Any], body: dict[str, Any], headers: Mapping[str, str]
) -> Any:
    """Call a service's `complete`, or a model's function, as its signature asks for."""
    by_keyword, takes_headers = _service_signature(_hashable(function))
    keywords: dict[str, Any] = {"headers": headers} if takes_headers else {}
    if by_keyword:
        return await call(function, model=model, messages=messages, body=body, **keywords)
    return await call(function, model, messages, body, **keywords)


def check_service(function: Callable[..., Any]) -> None:
    """Check that a function can be called as a service.

    Raises:
        TypeError: It does not take `(model, messages, body)`.
    """
    _service_signature(_hashable(function))


# pack: embeddings
def check_embedder(function: Callable[..., Any]) -> None:
    """Raise a TypeError if a function cannot be called as an embedder."""
    signature = _signature_of(_hashable(function))
    named = dict.fromkeys(name for name in [*signature.parameters][1:] if name in OF_EMBEDDERS)
    if not _binds(signature, [], **named):
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(
            f"{name}{signature} cannot be called as an embedder: it must take a list of texts, "
            f"and may take {', '.join(OF_EMBEDDERS)}."
        )


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's parameters.

    Raises:
        TypeError: It has no signature.
    """
    return tuple(_signature_of(_hashable(function)).parameters)


def arguments_of(function: Callable[..., Any], known: Mapping[str, Any]) -> list[Any]:
    """Return the arguments of a factory or a resource, by the names of its parameters.

    Raises:
        TypeError: One of them is not known.
    """
    names = parameters_of(function)
    if unknown := [name for name in names if name not in known]:
        raise TypeError(
            f"{place_of(function)} takes {', '.join(unknown)}, which is neither `settings` nor a resource. "
            f"Available: {', '.join(known)}."
        )
    return [known[name] for name in names]


def place_of(function: Callable[..., Any]) -> str:
    """Return the module and the name of a function."""
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"


class Headers(Mapping[str, str]):
    """The headers of a request that a service may see: read-only, names in lower case, without secrets.

    Args:
        raw: All headers, as ASGI has them; decoded when a service asks for the first one.
    """

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> str:
        return self._visible[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._visible)

    def __len__(self) -> int:
        return len(self._visible)

    @cached_property
    def _visible(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for name, value in self._raw:
            if name not in SECRET_HEADERS:
                key, text = name.decode("latin-1"), value.decode("latin-1")
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return headers


@lru_cache(maxsize=256)
def _is_lazy(function: Callable[..., Any]) -> bool:
    """Return whether calling the function runs none of its code: its result is awaited, or iterated elsewhere."""
    checks = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    return any(check(function) for check in checks)


@lru_cache(maxsize=256)
def _service_signature(function: Callable[..., Any]) -> tuple[bool, bool]:
    """Return whether the function takes its arguments by keyword, and whether it takes headers."""
    signature = _signature_of(function)
    headers = {"headers": None} if "headers" in signature.parameters else {}
    if _binds(signature, **dict.fromkeys(ARGUMENTS), **headers):
        return True, bool(headers)
    if _binds(signature, *ARGUMENTS, **headers):
        return False, bool(headers)
    name = getattr(function, "__qualname__", repr(function))
    raise TypeError(f"{name}{signature} cannot be called as a model: it must take (model, messages, body).")


def _signature_of(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except ValueError:
        raise TypeError(f"{function!r} cannot be called as a model: nothing says what it takes.") from None


def _binds(signature: inspect.Signature, *args: object, **kwargs: object) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _hashable(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the `__call__` of a callable object: the object may not be hashable, and hides that it is async."""
    if isinstance(function, FunctionType | MethodType | BuiltinFunctionType | partial | type | CachedFunction):
        return function
    method: Callable[..., Any] = type(function).__call__.__get__(function)
    return method
