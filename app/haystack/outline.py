"""A pipeline from outside: what it is given, who speaks in it, where its reply and its documents are."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from haystack import Document, Pipeline
from haystack.dataclasses import ChatMessage

from app.haystack.messages import last_text
from app.haystack.replies import REPLIES, message_of, reply_of
from app.haystack.speakers import Speaker, can_speak
from app.services import Body

__all__ = ["Data", "Inputs", "Outline"]

Data: TypeAlias = dict[str, dict[str, Any]]  # inputs or outputs by component
Inputs: TypeAlias = Callable[[list[ChatMessage], Body], Mapping[str, Any]]

QUESTION = ("query", "question", "user_message")  # inputs that are what the user said last
IF_NEEDED = ("text", "prompt")  # likewise, unless they have a default: these names mean too much


class Outline:
    """Where things are in a pipeline; see `haystack_pipeline` for the arguments.

    Raises:
        ValueError: something cannot be found without being named.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        inputs: Inputs | None,
        output: str | None,
        streaming: Iterable[str] | None,
        documents: str | None,
    ) -> None:
        self._pipeline = pipeline
        self._sockets = pipeline.inputs()
        self._inputs = inputs or self._from_conversation()
        self._reply = self._output(output)
        self._documents = self._output(documents)
        self._replying = [self._reply[0]] if self._reply else self._find_replies()
        self.all_speak = streaming is not None
        self.speakers = [self._speaker(name) for name in (self._find_speakers() if streaming is None else streaming)]

    @property
    def needed(self) -> set[str]:
        """The components whose outputs are looked at."""
        return {*self._replying, *(self._documents or ())[:1]}

    def inputs(self, messages: list[ChatMessage], body: Body) -> Data:
        """The inputs of one run, in dicts of its own, as Haystack writes into them."""
        given = self._inputs(messages, body)
        if all(isinstance(value, dict) for value in given.values()):
            return {name: dict(values) for name, values in given.items()}
        if unknown := given.keys() - {socket for sockets in self._sockets.values() for socket in sockets}:
            raise ValueError(f"The pipeline has no input {', '.join(sorted(unknown))}, which inputs=… gives it.")
        return {
            name: {socket: given[socket] for socket in sockets if socket in given}
            for name, sockets in self._sockets.items()
        }

    def reply(self, outputs: Mapping[str, Any], heard: str | None) -> ChatMessage:
        """The reply among the outputs of all components; empty if none that could reply has run.

        Args:
            outputs: by component.
            heard: the component that the client has heard already, if any: where several reply, its reply is meant.

        Raises:
            TypeError: it is neither a message nor text.
        """
        if self._reply:
            name, socket = self._reply
            return message_of(outputs.get(name, {}).get(socket, ""))
        replying = [heard] if heard in self._replying else self._replying
        given = [outputs[name] for name in replying if outputs.get(name)]
        return reply_of(given[-1]) if given else message_of("")

    def documents(self, outputs: Mapping[str, Any]) -> list[Document]:
        """The documents that the answer rests on."""
        if self._documents is None:
            return []
        name, socket = self._documents
        return list(outputs.get(name, {}).get(socket, ()))

    def _output(self, address: str | None) -> tuple[str, str] | None:
        if address is None:
            return None
        outputs = self._pipeline.outputs(include_components_with_connected_outputs=True)
        name, _, socket = address.partition(".")
        if socket not in outputs.get(name, ()):
            raise ValueError(f"The pipeline has no output {address!r}. It has {_addresses(outputs)}.")
        return name, socket

    def _from_conversation(self) -> Inputs:
        """Inputs by their names."""
        wanted = {name: [*self._wanted(name, sockets)] for name, sockets in self._sockets.items()}

        def inputs(messages: list[ChatMessage], body: Body) -> Data:
            question = last_text(messages)
            return {
                name: {socket: messages if socket == "messages" else question for socket in sockets}
                for name, sockets in wanted.items()
            }

        return inputs

    def _wanted(self, name: str, sockets: Mapping[str, Any]) -> Iterator[str]:
        for socket, described in sockets.items():
            if socket == "messages" or socket in QUESTION or (socket in IF_NEEDED and described["is_mandatory"]):
                yield socket
            elif described["is_mandatory"]:
                raise ValueError(
                    f"The pipeline needs the input {name}.{socket}, and nothing says what it is. "
                    "Say it: haystack_pipeline(…, inputs=lambda messages, body: {…})."
                )

    def _find_replies(self) -> list[str]:
        outputs = self._pipeline.outputs()
        found = [name for name, sockets in outputs.items() if any(socket in sockets for socket in REPLIES)]
        if not found:
            raise ValueError(
                f"None of the outputs of the pipeline looks like a reply: {_addresses(outputs)}. "
                'Name the one that is: haystack_pipeline(…, output="component.socket").'
            )
        return found

    def _find_speakers(self) -> Iterator[str]:
        """The components that give the reply, or the nearest before them that can stream."""
        waiting, seen = list(self._replying), set[str]()
        while waiting:
            name = waiting.pop(0)
            if name in seen:
                continue
            seen.add(name)
            if can_speak(self._pipeline.get_component(name)):
                yield name
            else:
                waiting.extend(self._pipeline.graph.predecessors(name))

    def _speaker(self, name: str) -> Speaker:
        component = self._pipeline.get_component(name)
        if not can_speak(component):
            raise ValueError(f"The component {name!r} cannot stream: it takes no streaming_callback.")
        return Speaker(name, component, frozenset(self._sockets.get(name, ())))


def _addresses(outputs: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{name}.{socket}" for name, sockets in outputs.items() for socket in sockets)
