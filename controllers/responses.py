"""OpenAI's Responses API, under `/v1` and without it, by HTTP and as a WebSocket."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from litestar import Controller, MediaType, Request, Response, WebSocket, delete, get, post, websocket
from litestar.di import NamedDependency
from litestar.openapi.spec import Operation
from litestar.params import FromPath, FromQuery, QueryParameter, RawBody, SkipValidation
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK
from msgspec import Struct
from msgspec.structs import replace

from app.engine.frames import encode
from app.engine.invoke import Headers, call
from app.engine.observers import Record
from app.engine.request import validate
from app.errors import CODES, CompletionError
from app.responses.background import BackgroundResponse, cancel, follow
from app.responses.compaction import CompactionRenderer, compaction_request
from app.responses.entries import Entries
from app.responses.renderer import ResponseRenderer, new_response, replay, warmed_up
from app.responses.request import TokenCounter, count_items, current_request, input_items, renamed, to_chat
from app.responses.socket import CONNECTION, MEMORY, ResponsesSocket
from app.responses.store import History, KeptResponses
from app.services import Services
from app.web.logs import COMPLETES
from controllers.openai import complete, engine_of, json_body
from controllers.openapi import COMPLETION_ERRORS, ERRORS, describe, errors, spec
from schemas.chat import Json
from schemas.responses import CompactedResponse, DeletedResponse, InputTokens, ResponseItemList, ResponseRequest
from schemas.responses import Response as ResponseObject

PATHS = ["/v1/responses", "/responses"]
KEPT = [f"{path}/{{response_id:str}}" for path in PATHS]
RESPONSE = {200: spec(ResponseObject, "The response.")}
KEPT_ERRORS = ERRORS | errors(
    {404: "No such response is kept for this caller.", 503: "The responses that are kept cannot be reached."}
)
STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


EXAMPLE = {"model": "echo", "input": "Hello!"}


@dataclass
class ResponseOperation(Operation):
    """The operation that creates a response."""

    def __post_init__(self) -> None:
        """Describe the body and the stream."""
        describe(self, ResponseRequest, EXAMPLE, stream="Named events, the last of which holds the response.")


@dataclass
class ConversationOperation(Operation):
    """An operation on the conversation that a request for a response begins or continues."""

    def __post_init__(self) -> None:
        """Describe the body."""
        describe(self, ResponseRequest, EXAMPLE)


class ResponsesController(Controller):
    """Responses, made by the services that answer chats and kept for their callers.

    As with `OpenAIController`, each dependency may be replaced.
    """

    tags = ("responses",)

    @post(
        PATHS,
        summary="Create a response",
        status_code=HTTP_200_OK,
        responses=RESPONSE | COMPLETION_ERRORS,
        operation_class=ResponseOperation,
        opt={COMPLETES: True},
    )
    async def create_response(
        self,
        request: Request[Any, Any, Any],
        body: RawBody,
        services: NamedDependency[SkipValidation[Services]],
    ) -> Response[Any]:
        """Make a response: one JSON object, or with `stream` a stream of events."""
        turn = await _turn(request, body, services)
        asked, keep = turn.asked, partial(turn.responses.keep, turn.history, turn.items)
        response = new_response(asked, store=request.app.state.settings.store_responses and asked.store is not False)
        if CONNECTION in request.scope["state"] and turn.sent.get("generate") is False:
            request.scope["state"]["completion"] = Record(model=asked.model, stream=True, ended="done")
            return _event_stream(await warmed_up(response, keep))
        with _answering(turn):
            renderer = partial(ResponseRenderer, asked, response)
            if not asked.background:
                return await complete(request, _chat(turn), services, partial(renderer, keep))
            chat, headers = _chat(turn) | {"stream": True}, Headers(request.scope["headers"])
            background = BackgroundResponse(response, turn.responses, keep)
            background.completion = engine_of(request).start(
                chat, services, headers, background.cancelled, partial(renderer, background.end)
            )
            request.scope["state"]["completion"] = background.completion.record
            await request.app.state.background_responses.run(background)
        if asked.stream:
            return _followed(request, turn.responses, response.id, -1)
        return Response(encode(replace(response, status="queued")), media_type=MediaType.JSON)

    @websocket(PATHS)
    async def connect(self, socket: WebSocket[Any, Any, Any]) -> None:
        """Make responses by events of the type `response.create`, one after another."""
        await ResponsesSocket(socket).serve()

    @post(
        [f"{path}/compact" for path in PATHS],
        summary="Compact a conversation",
        status_code=HTTP_200_OK,
        responses={200: spec(CompactedResponse, "The conversation in fewer words.")} | COMPLETION_ERRORS,
        operation_class=ConversationOperation,
        opt={COMPLETES: True},
    )
    async def compact(
        self,
        request: Request[Any, Any, Any],
        body: RawBody,
        services: NamedDependency[SkipValidation[Services]],
    ) -> Response[Any]:
        """Let the model sum up a conversation; the summary is an item that takes its place in later requests."""
        turn = await _turn(request, body, services)
        with _answering(turn):
            renderer = partial(CompactionRenderer, [*turn.history.items, *turn.items])
            return await complete(request, compaction_request(_chat(turn)), services, renderer)

    @post(
        [f"{path}/input_tokens" for path in PATHS],
        summary="Count the tokens of a request",
        status_code=HTTP_200_OK,
        response_description="The number of tokens.",
        responses=COMPLETION_ERRORS,
        operation_class=ConversationOperation,
    )
    async def count_input_tokens(
        self,
        request: Request[Any, Any, Any],
        body: RawBody,
        services: NamedDependency[SkipValidation[Services]],
        token_counter: NamedDependency[SkipValidation[TokenCounter | None]],
    ) -> InputTokens:
        """Count the tokens that a model would read, by the dependency `token_counter`."""
        if token_counter is None:
            message = "This server cannot count tokens: it has no `token_counter`."
            raise CompletionError(message, status=404, code=CODES[404])
        turn = await _turn(request, body, services)
        chat = _chat(turn)
        return InputTokens(input_tokens=await call(token_counter, turn.asked.model, chat["messages"], chat))

    @get(KEPT, summary="Retrieve a response", responses=RESPONSE | KEPT_ERRORS)
    async def retrieve_response(
        self,
        request: Request[Any, Any, Any],
        response_id: FromPath[str],
        stream: FromQuery[bool] = False,
        starting_after: FromQuery[int] = -1,
    ) -> Response[Any]:
        """Return a kept response, or with `stream` its events, from the one after the number `starting_after`."""
        responses, after = _kept_responses(request), max(starting_after, -1)
        kept = await responses.get(response_id)
        if not stream:
            return Response(kept.response, media_type=MediaType.JSON)
        if kept.state.background:
            return _followed(request, responses, response_id, after)
        return _event_stream(replay(kept.response, after))

    @post(
        [f"{path}/cancel" for path in KEPT],
        summary="Cancel a response",
        status_code=HTTP_200_OK,
        responses=RESPONSE | KEPT_ERRORS,
    )
    async def cancel_response(self, request: Request[Any, Any, Any], response_id: FromPath[str]) -> Response[bytes]:
        """Cancel a response that runs in the background."""
        kept = await cancel(_kept_responses(request), response_id)
        return Response(kept.response, media_type=MediaType.JSON)

    @delete(
        KEPT,
        summary="Delete a response",
        response_description="The response is forgotten.",
        status_code=HTTP_200_OK,
        responses=KEPT_ERRORS,
    )
    async def delete_response(self, request: Request[Any, Any, Any], response_id: FromPath[str]) -> DeletedResponse:
        """Delete a kept response; those that continue it stay."""
        await _kept_responses(request).delete(response_id)
        return DeletedResponse(id=response_id)

    @get(
        [f"{path}/input_items" for path in KEPT],
        summary="List the input items of a response",
        response_description="The items.",
        responses=KEPT_ERRORS,
    )
    async def list_input_items(
        self,
        request: Request[Any, Any, Any],
        response_id: FromPath[str],
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
        order: FromQuery[Literal["asc", "desc"]] = "desc",
        after: FromQuery[str] = "",
    ) -> ResponseItemList:
        """Return the items that a response was made from, those of earlier responses too."""
        kept = _kept_responses(request)
        return await kept.page(response_id, limit=limit, newest_first=order == "desc", after=after)


class _Turn(Struct):
    """A request, the responses of its caller, the conversation that it continues, and the items that it adds."""

    sent: Json
    asked: ResponseRequest
    responses: KeptResponses
    history: History
    items: list[Json]


async def _turn(request: Request[Any, Any, Any], body: bytes, services: Services) -> _Turn:
    """Read a request; raise a CompletionError for what can be known before its model is asked."""
    sent = json_body(request, body)
    asked, responses = validate(sent, ResponseRequest), _kept_responses(request)
    count = count_items(asked)
    responses.check_length(count, len(body))
    await engine_of(request).check(services, asked.model)
    previous, size = asked.previous_response_id, len(body)
    history = await responses.history(previous, count, size) if previous else History(size=size)
    return _Turn(sent, asked, responses, history, await responses.resolve(input_items(asked), history))


def _chat(turn: _Turn) -> Json:
    """Return the body of the chat request that asks for the same."""
    return to_chat(turn.asked, turn.history.items, turn.items)


@contextmanager
def _answering(turn: _Turn) -> Iterator[None]:
    """Let the model see the request as it was sent, and let errors name its fields."""
    token = current_request.set(turn.sent)
    try:
        yield
    except CompletionError as error:
        raise renamed(error) from error
    finally:  # uvicorn starts a pipelined request in the context of the one before it
        current_request.reset(token)


def _kept_responses(request: Request[Any, Any, Any]) -> KeptResponses:
    settings, owner = request.app.state.settings, request.scope.get("user")
    connection = request.scope["state"].get(CONNECTION)
    remembered = Entries(request.app.stores.get(MEMORY), connection, None) if connection else None
    stored = Entries(request.app.stores.get("responses"), owner, settings.responses_expire or None)
    return KeptResponses(stored, remembered, settings)


def _followed(request: Request[Any, Any, Any], responses: KeptResponses, response_id: str, after: int) -> Stream:
    keep_alive = request.app.state.settings.keep_alive_interval
    return _event_stream(follow(responses, response_id, after, keep_alive))


def _event_stream(events: Iterable[bytes] | AsyncIterator[bytes]) -> Stream:
    return Stream(events, media_type="text/event-stream", headers=STREAM_HEADERS)
