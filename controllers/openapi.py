"""The OpenAPI document: where it is, and what it says beyond the types of the handlers."""

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response, Router
from litestar._openapi.schema_generation.plugins.struct import StructSchemaPlugin  # there is no public way
from litestar.openapi import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, Example, OpenAPIMediaType, Operation, RequestBody, Schema, SecurityScheme
from litestar.openapi.spec.enums import OpenAPIType
from litestar.status_codes import HTTP_404_NOT_FOUND
from litestar.typing import FieldDefinition
from msgspec import NODEFAULT
from msgspec.inspect import Field

from app.errors import InvalidRequestError
from app.settings import Settings
from app.web.authentication import PUBLIC
from schemas.chat import ChatCompletionRequest, Json
from schemas.errors import ErrorResponse


def spec(kind: type[msgspec.Struct], description: str) -> ResponseSpec:
    """Return the description of a response without an example, which Litestar would invent anew at each start."""
    return ResponseSpec(kind, description=description, generate_examples=False)


def errors(descriptions: dict[int, str]) -> dict[int, ResponseSpec]:
    """Return errors by status, for the `responses` of a handler."""
    return {status: spec(ErrorResponse, description) for status, description in descriptions.items()}


ERRORS = errors(
    {
        400: "The request is wrong: `param` names the field.",
        401: "There is no API key, or a wrong one.",
        429: "Too many requests: `retry-after` says when to try again.",
        431: "The headers are too large.",
        500: "The server failed.",
    }
)
MODEL_ERRORS = ERRORS | errors({404: "There is no such model: the message names those there are."})
COMPLETION_ERRORS = MODEL_ERRORS | errors(
    {
        403: "A page of an origin that `CORS_ORIGINS` does not name.",
        413: "The body is too large.",
        415: "The body says that it is not JSON, or it is compressed.",
        503: "The server is overloaded, or shutting down.",
        504: "The completion took too long.",
    }
)


ANSWERS = {
    "schemas.chat",
    "schemas.embeddings",  # pack: embeddings
    "schemas.errors",
    "schemas.models",
    "schemas.responses",  # pack: responses
}


class AnswerPlugin(StructSchemaPlugin):
    """Litestar plugin that describes answers: only a field that may be unset is left out of any."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Whether it is an answer; the bodies of requests are described by `describe`."""
        module = getattr(field_definition.annotation, "__module__", None)
        return super().is_plugin_supported_field(field_definition) and module in ANSWERS

    @staticmethod
    def _is_field_required(field: Field) -> bool:
        return field.required or (field.default, field.default_factory) != (NODEFAULT, NODEFAULT)  # which `UNSET` has


def openapi_config(settings: Settings) -> OpenAPIConfig:
    """Return the configuration of the OpenAPI document, which needs an API key unless the settings make it public."""
    router = Router(
        "/schema",
        route_handlers=[],
        after_request=_raise_if_missing,
        include_in_schema=False,
        opt={PUBLIC: settings.public_docs},
        response_headers={"x-content-type-options": "nosniff"},
    )
    formats = [Document(JsonRenderPlugin()), Document(YamlRenderPlugin())]
    config = OpenAPIConfig(title="OpenAI-compatible API", version="1", openapi_router=router, render_plugins=formats)
    if settings.keys:
        config.components = Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")})
        config.security = [{"key": []}]
    return config


def _raise_if_missing(response: Response[Any]) -> Response[Any]:
    """Raise an error in place of the HTML page that Litestar has for unknown paths below that of the document."""
    if response.status_code == HTTP_404_NOT_FOUND:
        raise InvalidRequestError(
            "There is nothing here but the API document, as openapi.json and openapi.yaml.", status=404
        )
    return response


class Document(OpenAPIRenderPlugin):
    """The document in the format of another plugin, with the server of the request."""

    def __init__(self, plugin: OpenAPIRenderPlugin) -> None:
        super().__init__(path=plugin.paths, media_type=plugin.media_type)
        self._plugin = plugin

    def render(self, request: Request[Any, Any, Any], openapi_schema: Json) -> bytes:
        """Render the document; its server is the root path that a setting, or an option of the server, has set."""
        servers = [{"url": request.scope.get("root_path") or "/"}]
        return self._plugin.render(request, openapi_schema | {"servers": servers})


@dataclass
class ChatCompletionOperation(Operation):
    """The operation of chat completions, whose body the engine checks, and whose answer has two media types."""

    def __post_init__(self) -> None:
        """Describe the body and the stream."""
        example = {"model": "echo", "messages": [{"role": "user", "content": "Hello!"}]}
        describe(self, ChatCompletionRequest, example, stream="Frames of `ChatCompletionChunk`, then `[DONE]`.")


def describe(operation: Operation, body: type[msgspec.Struct], example: dict[str, Any], *, stream: str = "") -> None:
    """Describe the body of an operation, and its answer as a stream, if it has one."""
    media_type = OpenAPIMediaType(schema=_schema_of(body), examples={"request": Example(value=example)})
    operation.request_body = RequestBody(required=True, content={"application/json": media_type})
    if not stream:
        return
    response = (operation.responses or {})["200"]
    content: dict[str, OpenAPIMediaType] = getattr(response, "content")  # noqa: B009 - a reference has none
    content["text/event-stream"] = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, description=stream))


def _schema_of(struct: type[msgspec.Struct]) -> Schema:
    """Return the schema of a Struct without references: an operation cannot add to the components of the document."""
    (schema,), parts = msgspec.json.schema_components([struct], ref_template="{name}")
    parts[struct.__name__]["properties"].pop("extra", None)  # holds what is not declared; clients do not send it
    names = Schema.field_aliases() | {"anyOf": "one_of"}  # no value is of two alternatives; Litestar writes it so too

    def build(node: Json) -> Schema:
        node = parts[node["$ref"]] if "$ref" in node else node
        return Schema(**{names.get(keyword, keyword): convert(keyword, value) for keyword, value in node.items()})

    def convert(keyword: str, value: Any) -> Any:
        match keyword, value:
            case "type", _:
                return OpenAPIType(value)
            case "properties", _:
                return {name: build(each) for name, each in value.items()}
            case "anyOf", _:
                return [build(each) for each in value]
            case "items" | "additionalProperties", dict():
                return build(value)
        return value

    return build(schema)
