"""OpenAI's Responses API, under `/v1` and without it."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from litestar import Controller, MediaType, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Operation
from litestar.params import FromPath, FromQuery, QueryParameter, RawBody, SkipValidation
from litestar.status_codes import HTTP_200_OK

from app.engine.completion import Services
from app.engine.request import validate
from app.errors import CODES, CompletionError
from app.responses.renderer import ResponseRenderer, replay
from app.responses.request import count_items, current_request, echo_of, input_items, renamed, to_chat
from app.responses.store import History, KeptResponses
from app.services import CompletionService, Hooks, ModelService
from app.web.logs import COMPLETES
from controllers.openai import complete, engine_of, json_body
from controllers.openapi import COMPLETION_ERRORS, ERRORS, describe, errors, spec
from schemas.responses import DeletedResponse, ResponseItemList, ResponseRequest
from schemas.responses import Response as ResponseObject

PATHS = ["/v1/responses", "/responses"]
KEPT = [f"{path}/{{response_id:str}}" for path in PATHS]
RESPONSE = {200: spec(ResponseObject, "The response.")}
KEPT_ERRORS = ERRORS | errors(
    {404: "No such response is kept for this caller.", 503: "The responses that are kept cannot be reached."}
)


@dataclass
class ResponseOperation(Operation):
    """The operation that creates a response."""

    def __post_init__(self) -> None:
        """Describe the body and the stream."""
        example = {"model": "echo", "input": "Hello!"}
        describe(self, ResponseRequest, example, stream="Named events, the last of which holds the response.")


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
        completion_service: NamedDependency[SkipValidation[CompletionService]],
        model_service: NamedDependency[SkipValidation[ModelService]],
        hooks: NamedDependency[SkipValidation[Hooks]],
    ) -> Response[Any]:
        """Make a response: one JSON object, or with `stream` a stream of events."""
        sent = json_body(request, body)
        asked, kept = validate(sent, ResponseRequest), _kept_responses(request)
        services, count = Services(completion_service, model_service, hooks), count_items(asked)
        kept.check_length(count, len(body))
        await engine_of(request).check(services, asked.model)
        previous, size = asked.previous_response_id, len(body)
        history = await kept.history(previous, count, size) if previous else History(size=size)
        items = await kept.resolve(input_items(asked), history)
        chat = to_chat(asked, history.items, items)
        keeps = request.app.state.settings.store_responses and asked.store is not False
        keep = partial(kept.keep, history, items) if keeps else None
        renderer = partial(ResponseRenderer, asked, echo_of(asked), keep)
        token = current_request.set(sent)
        try:
            return await complete(request, chat, services, renderer)
        except CompletionError as error:
            raise renamed(error) from error
        finally:  # uvicorn starts a pipelined request in the context of the one before it
            current_request.reset(token)

    @post([f"{path}/compact" for path in PATHS], include_in_schema=False)
    async def compact(self) -> None:
        """Refuse to compact a conversation; without this route, the path would be that of a response."""
        raise CompletionError("Conversations are not compacted here.", status=404, code=CODES[404])

    @get(KEPT, summary="Retrieve a response", responses=RESPONSE | KEPT_ERRORS)
    async def retrieve_response(
        self,
        request: Request[Any, Any, Any],
        response_id: FromPath[str],
        stream: FromQuery[bool] = False,
        starting_after: FromQuery[int] = -1,
    ) -> Response[bytes]:
        """Return a kept response, or with `stream` its events, from the one after the number `starting_after`."""
        kept = await _kept_responses(request).get(response_id)
        if not stream:
            return Response(kept.response, media_type=MediaType.JSON)
        events = b"".join(replay(kept.response, max(starting_after, -1)))
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        return Response(events, media_type="text/event-stream", headers=headers)

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


def _kept_responses(request: Request[Any, Any, Any]) -> KeptResponses:
    owner: str | None = request.scope.get("user")
    return KeptResponses(request.app.stores.get("responses"), owner, request.app.state.settings)
