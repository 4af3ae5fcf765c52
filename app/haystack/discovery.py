"""Discovery of a pipeline's inputs, reply, documents and streaming components, as far as they are not named."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from haystack import Document, Pipeline
from haystack.dataclasses import ChatMessage, ChatRole, TextContent

from app.haystack.events import BETWEEN_STEPS
from app.haystack.messages import last_question
from app.haystack.streaming import StreamingComponent, can_stream
from app.services import Body

Data: TypeAlias = dict[str, dict[str, Any]]  # inputs or outputs by component
Inputs: TypeAlias = Callable[[list[ChatMessage], Body], Mapping[str, Any]]

QUESTION = ("query", "question", "user_message")  # inputs that take the user's last message
QUESTION_IF_MANDATORY = ("text", "prompt")  # with a default value, they may mean anything
REPLIES = ("last_message", "replies", "answers")  # outputs of an agent, a generator, an answer builder


class PipelineInterface:
    """The inputs and outputs of a pipeline that a chat needs; see `haystack_pipeline` for the arguments."""

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
        self._open_inputs = pipeline.inputs()
        self._make_inputs = inputs or self._inputs_by_name()
        self._reply = self._output(output)
        self._documents = self._output(documents)
        self._replying = [self._reply[0]] if self._reply else self._find_replying()
        self.needed = {*self._replying, *(self._documents or ())[:1]}  # the components whose outputs are read
        self.streams_all = streaming is not None
        names = self._find_streaming() if streaming is None else streaming
        self.streaming = [self._streaming_component(name) for name in names]

    def inputs(self, messages: list[ChatMessage], body: Body) -> Data:
        """Return the inputs of one run, in new dicts, as Haystack writes into them."""
        given = self._make_inputs(messages, body)
        if all(isinstance(value, dict) for value in given.values()):
            return {name: dict(values) for name, values in given.items()}
        if unknown := given.keys() - {socket for sockets in self._open_inputs.values() for socket in sockets}:
            raise ValueError(f"The pipeline has no input {', '.join(sorted(unknown))}, which inputs=… gives it.")
        return {
            name: {socket: given[socket] for socket in sockets if socket in given}
            for name, sockets in self._open_inputs.items()
        }

    def reply(self, outputs: Mapping[str, Any], streamed: str | None) -> ChatMessage:
        """Return the reply among the outputs, that of the streamed component if several reply; empty if none has."""
        if self._reply:
            return message_of(_value(outputs, self._reply, default=""))
        replying = [streamed] if streamed in self._replying else self._replying
        given = [outputs[name] for name in replying if outputs.get(name)]
        return reply_of(given[-1]) if given else message_of("")

    def documents(self, outputs: Mapping[str, Any]) -> list[Document]:
        """Return the documents that the answer is based on."""
        return [] if self._documents is None else list(_value(outputs, self._documents, default=()))

    def _inputs_by_name(self) -> Inputs:
        found = {
            name: [socket for socket, described in sockets.items() if _takes_conversation(name, socket, described)]
            for name, sockets in self._open_inputs.items()
        }

        def inputs(messages: list[ChatMessage], body: Body) -> Data:
            question = last_question(messages)
            return {
                name: {socket: messages if socket == "messages" else question for socket in sockets}
                for name, sockets in found.items()
            }

        return inputs

    def _output(self, address: str | None) -> tuple[str, str] | None:
        if address is None:
            return None
        outputs = self._pipeline.outputs(include_components_with_connected_outputs=True)
        name, _, socket = address.partition(".")
        if socket not in outputs.get(name, ()):
            raise ValueError(f"The pipeline has no output {address!r}. It has {_addresses(outputs)}.")
        return name, socket

    def _find_replying(self) -> list[str]:
        outputs = self._pipeline.outputs()
        found = [name for name, sockets in outputs.items() if any(socket in sockets for socket in REPLIES)]
        if not found:
            raise ValueError(
                f"None of the outputs of the pipeline looks like a reply: {_addresses(outputs)}. "
                'Name the one that is: haystack_pipeline(…, output="component.socket").'
            )
        return found

    def _find_streaming(self) -> Iterator[str]:
        """Yield the components that give the reply, or else the nearest ones before them that can stream."""
        waiting, seen = list(self._replying), set[str]()
        while waiting:
            name = waiting.pop(0)
            if name in seen:
                continue
            seen.add(name)
            if can_stream(self._pipeline.get_component(name)):
                yield name
            else:
                waiting.extend(self._pipeline.graph.predecessors(name))

    def _streaming_component(self, name: str) -> StreamingComponent:
        component = self._pipeline.get_component(name)
        if not can_stream(component):
            raise ValueError(f"The component {name!r} cannot stream: it takes no streaming_callback.")
        return StreamingComponent(name, component, frozenset(self._open_inputs.get(name, ())))


def reply_of(outputs: Mapping[str, Any]) -> ChatMessage:
    """Return the reply among the outputs of a component: the one with a known name, or the only one."""
    if "last_message" in outputs and "messages" in outputs:
        return _agent_reply(outputs)
    value = next((outputs[name] for name in REPLIES if name in outputs), None)
    if value is None and len(outputs) == 1:
        (value,) = outputs.values()
    return message_of(value)


def message_of(value: Any) -> ChatMessage:
    """Return an output as a message: it must be a message, an answer or text, or a list of these."""
    match value:
        case ChatMessage():
            return value
        case str():
            return ChatMessage.from_assistant(value)
        case [*values]:
            return message_of(values[0] if values else "")
        case object(data=str() as text, meta=meta):  # a GeneratedAnswer, which has the meta of its reply
            return ChatMessage.from_assistant(text, meta=meta)
        case _:
            raise TypeError(f"The output of the pipeline is {type(value).__name__}, neither a ChatMessage nor text.")


def _agent_reply(outputs: Mapping[str, Any]) -> ChatMessage:
    """Return the text of all steps of an agent; if a tool has ended it, the last text is the tool's result."""
    last: ChatMessage = outputs["last_message"]
    exit_reason = outputs.get("exit_reason")
    ran_out_of_steps = exit_reason == "max_agent_steps"
    messages: list[ChatMessage] = outputs["messages"]
    written = [position for position, message in enumerate(messages) if message.is_from(ChatRole.ASSISTANT)]
    steps = messages[next(iter(written[-outputs["step_count"] :]), 0) :]  # of this run, which may go on after a result
    if last.tool_call_result is not None and not ran_out_of_steps:
        last = _result_of(exit_reason, steps)
    answers = [step for step in (*steps[:-1], last) if step.is_from(ChatRole.ASSISTANT)]
    finish_reason = "length" if ran_out_of_steps else last.meta.get("finish_reason")
    return ChatMessage.from_assistant(
        BETWEEN_STEPS.join(step.text for step in answers if step.text),
        meta={"finish_reason": finish_reason, "usage": outputs.get("token_usage") or None},
        tool_calls=last.tool_calls,
        reasoning="".join(step.reasoning.reasoning_text for step in answers if step.reasoning) or None,
    )


def _result_of(tool_name: str | None, steps: list[ChatMessage]) -> ChatMessage:
    """Return the result of the tool that ended an agent; others may have been called in the same step."""
    results = [step.tool_call_result for step in steps if step.tool_call_result]
    result = ([result for result in results if result.origin.tool_name == tool_name] or results)[-1].result
    texts = [result] if isinstance(result, str) else [part.text for part in result if isinstance(part, TextContent)]
    return ChatMessage.from_assistant("\n".join(texts))


def _takes_conversation(name: str, socket: str, described: Mapping[str, Any]) -> bool:
    """Return whether an input takes the messages or the question; raise if it is mandatory and takes neither."""
    if socket == "messages" or socket in QUESTION:
        return True
    if described["is_mandatory"] and socket not in QUESTION_IF_MANDATORY:
        raise ValueError(
            f"The pipeline needs the input {name}.{socket}, and nothing says what it is. "
            "Say it: haystack_pipeline(…, inputs=lambda messages, body: {…})."
        )
    return bool(described["is_mandatory"])


def _value(outputs: Mapping[str, Any], address: tuple[str, str], *, default: object) -> Any:
    name, socket = address
    return outputs.get(name, {}).get(socket, default)


def _addresses(outputs: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{name}.{socket}" for name, sockets in outputs.items() for socket in sockets)
