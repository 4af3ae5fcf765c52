"""Discovery of a pipeline's inputs, reply, documents and generators, as far as they are not named."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias, TypedDict

from haystack import Document, Pipeline
from haystack.components.agents import Agent
from haystack.components.routers import LLMMessagesRouter
from haystack.dataclasses import ChatMessage

from app.engine.invoke import parameters_of
from app.haystack.graph import OF_GENERATORS, Address, AnyComponent, after, generators_of, source_of
from app.haystack.messages import last_question
from app.haystack.parameters import Parameters, shared_parameters
from app.haystack.replies import REPLIES, documents_in, message_of
from app.haystack.streaming import Generator, OnEvent
from app.services import Body

Data: TypeAlias = dict[str, dict[str, Any]]  # inputs or outputs by component
OneOrMore: TypeAlias = str | Iterable[str]  # names
Inputs: TypeAlias = Callable[..., Mapping[str, Any]]  # of the messages and the body, and the headers if it names them


class Options(TypedDict, total=False):
    """The arguments of `haystack_pipeline`, which documents them."""

    inputs: Inputs | None
    output: OneOrMore | None
    streaming: OneOrMore | None
    documents: str | None
    parameters: Parameters | None
    on_event: OnEvent


QUESTION = ("query", "question", "user_message")  # inputs that take the user's last message
QUESTION_IF_MANDATORY = ("text", "prompt")  # with a default value, they may mean anything
WITH_DOCUMENTS = ("Document", "Answer", "Any")  # in the names of types

logger = logging.getLogger("app.haystack")

ADVICE = 'Name the one that is: haystack_pipeline(…, output="component.socket").'


def as_list(names: OneOrMore) -> list[str]:
    """Return one name or several as a list."""
    return [names] if isinstance(names, str) else [*names]


class PipelineInterface:
    """The inputs and outputs of a pipeline that a chat needs; see `haystack_pipeline` for the arguments."""

    def __init__(self, pipeline: Pipeline, options: Options) -> None:
        self._pipeline = pipeline
        self._outputs = pipeline.outputs(include_components_with_connected_outputs=True)
        output, streaming, documents = options.get("output"), options.get("streaming"), options.get("documents")
        self._ends = self._find_ends() if output is None else [*map(self._output, as_list(output))]
        self._documents = [] if documents is None else [self._documents_output(documents)]
        self.streams_in_order = streaming is not None
        named = None if streaming is None else as_list(streaming)
        self.generators = self._find_generators(named, options.get("parameters"))
        streamed = [generator.name for generator in self.generators if generator.output]
        self.needed = {*streamed, *(name for name, _ in (*self._ends, *self._documents))}
        self._open_inputs = pipeline.inputs()
        self._make_inputs = options.get("inputs") or self._inputs_by_name()
        self._takes_headers = "headers" in parameters_of(self._make_inputs)

    def inputs(self, messages: list[ChatMessage], body: Body, headers: Mapping[str, str]) -> Data:
        """Return the inputs of one run, in new dicts, as Haystack writes into them."""
        given = self._make_inputs(messages, body, **({"headers": headers} if self._takes_headers else {}))
        if not all(isinstance(value, dict) for value in given.values()):
            if unknown := given.keys() - {socket for sockets in self._open_inputs.values() for socket in sockets}:
                raise ValueError(f"The pipeline has no input {', '.join(sorted(unknown))}, which inputs=… gives it.")
            given = {
                name: {socket: given[socket] for socket in sockets if socket in given}
                for name, sockets in self._open_inputs.items()
            }
        return {name: dict(values) for name, values in given.items()}

    def reply(self, outputs: Mapping[str, Any]) -> ChatMessage:
        """Return the first of the replies that has a value.

        Raises:
            RuntimeError: None has.
        """
        values = [(outputs.get(name, {}).get(socket), outputs.get(name, {}).get("meta")) for name, socket in self._ends]
        given = [each for each in values if each[0] is not None]
        if not given:
            expected = ", ".join(".".join(end) for end in self._ends)
            raise RuntimeError(
                f"The pipeline has ended without a reply in {expected}. It has {_addresses(outputs) or 'no output'}. "
                'Name all that may be the reply: haystack_pipeline(…, output=["component.socket", …]).'
            )
        return message_of(*next((each for each in given if each[0]), given[0]))

    def documents(self, outputs: Mapping[str, Any]) -> list[Document]:
        """Return the documents that the answer is based on."""
        return [*documents_in([outputs.get(name, {}).get(socket) for name, socket in self._documents])]

    def _inputs_by_name(self) -> Inputs:
        found = {
            name: [socket for socket, described in sockets.items() if _takes_conversation(name, socket, described)]
            for name, sockets in self._open_inputs.items()
        }
        return lambda messages, body: {
            name: {
                socket: self._conversation(name, sockets, messages) if socket == "messages" else last_question(messages)
                for socket in sockets
            }
            for name, sockets in found.items()
        }

    def _conversation(self, name: str, sockets: list[str], messages: list[ChatMessage]) -> list[ChatMessage]:
        """Return the messages that a component can take: without the question if its prompt asks that."""
        component = self._pipeline.get_component(name)
        if isinstance(component, LLMMessagesRouter):
            return [message for message in messages if message.is_from("user") or message.is_from("assistant")]
        asks = isinstance(component, Agent) and len(sockets) > 1
        asked = [message for message in messages if asks and message.is_from("user")][-1:]
        return [message for message in messages if not asked or message is not asked[0]]

    def _output(self, address: str) -> Address:
        name, _, socket = address.partition(".")
        if socket not in self._outputs.get(name, ()):
            raise ValueError(f"The pipeline has no output {address!r}. It has {_addresses(self._outputs)}.")
        return name, socket

    def _documents_output(self, address: str) -> Address:
        name, socket = self._output(address)
        kind = str(self._outputs[name][socket]["type"])
        if not any(each in kind for each in WITH_DOCUMENTS):
            raise ValueError(f"The output {address!r} has neither documents nor answers: it is of the type {kind}.")
        return name, socket

    def _find_ends(self) -> list[Address]:
        outputs = self._pipeline.outputs()
        found = [(name, socket) for name, sockets in outputs.items() for socket in REPLIES if socket in sockets]
        if not found:
            raise ValueError(f"None of the outputs of the pipeline looks like a reply: {_addresses(outputs)}. {ADVICE}")
        if len(found) > 1 and not self._has_router():
            ends = ", ".join(f"{name}.{socket}" for name, socket in found)
            logger.warning("%s look like replies: the last that has a value is sent. %s", ends, ADVICE)
        return found[::-1]  # the last component is the most likely one

    def _find_generators(self, named: list[str] | None, parameters: Parameters | None) -> list[Generator]:
        """Return the components that are streamed, in the order of their texts, and then others that make the reply."""
        made = [name for end in self._ends for (name, _), _ in generators_of(self._pipeline, end)]
        streamed = self._find_streamed() if named is None else {name: self._named(name) for name in named}
        inputs, tools_for = self._pipeline.inputs(), named[-1:] if named else made
        found = []
        for name in dict.fromkeys([*streamed, *made]):
            output, source = streamed.get(name, ("", self._pipeline.get_component(name)))
            takes = {*inputs.get(name, ())}
            if name not in tools_for or isinstance(source, Agent):  # an agent has tools of its own
                takes -= {"tools"}
            of_request = parameters or partial(shared_parameters, component=source)
            found.append(Generator(name, source, output, takes, of_request))
        return found

    def _has_router(self) -> bool:
        return any("Router" in type(part).__name__ for _, part in self._pipeline.walk())

    def _find_streamed(self) -> dict[str, tuple[str, AnyComponent]]:
        """Return the generators whose text is the reply: of the first end, or of one that a router chooses."""
        has_router = self._has_router()
        streamed: dict[str, tuple[str, AnyComponent]] = {}
        for position, end in enumerate(self._ends):
            for (name, output), source in generators_of(self._pipeline, end):
                is_sure = not after(self._pipeline, name) & {earlier for earlier, _ in self._ends[:position]}
                if source is not None and is_sure and (has_router or not (position or streamed)):
                    streamed[name] = output, source
        return streamed

    def _named(self, name: str) -> tuple[str, AnyComponent]:
        component = self._pipeline.get_component(name)
        for output in sorted(self._outputs.get(name, ()), key=lambda output: output not in REPLIES):
            source = source_of(component, output)
            if source is not None and name not in after(self._pipeline, name):
                return output, source
        raise ValueError(f"The component {name!r} cannot stream: it takes no streaming_callback, or is in a loop.")


def _takes_conversation(name: str, socket: str, described: Mapping[str, Any]) -> bool:
    """Return whether an input takes the messages or the question; raise if it is mandatory and takes neither."""
    if socket == "messages" or socket in QUESTION:
        return True
    advice = "Say what it is: haystack_pipeline(…, inputs=lambda messages, body: {…})."
    if described["is_mandatory"] and socket not in QUESTION_IF_MANDATORY:
        raise ValueError(f"The pipeline needs the input {name}.{socket}, and nothing fills it. {advice}")
    if not described["is_mandatory"] and described["type"] is Any and socket not in OF_GENERATORS:
        logger.warning("Nothing fills the prompt variable %s.%s, so it is empty. %s", name, socket, advice)
    return bool(described["is_mandatory"])


def _addresses(outputs: Mapping[str, Mapping[str, Any]]) -> str:
    given = [(name, socket, value) for name, sockets in outputs.items() for socket, value in sockets.items()]
    return ", ".join(f"{name}.{socket}" for name, socket, value in given if value is not None)
