"""The graph of a pipeline: which generators an output comes from, and which of them stream it."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from haystack import Pipeline, component
from haystack.components.agents import Agent
from haystack.components.builders import AnswerBuilder

AnyComponent: TypeAlias = Any  # Haystack's own type does not declare what its decorator adds to a class
Address: TypeAlias = tuple[str, str]  # a component's name and the name of one of its outputs

OF_GENERATORS = ("streaming_callback", "generation_kwargs", "tools")  # inputs
JOINERS = frozenset({"AnswerJoiner", "BranchJoiner", "ListJoiner"})  # they pass on what they are given
PASSED_ON = frozenset({"answers", "replies", "value", "values"})  # inputs of joiners and of answer builders


def takes(part: AnyComponent, socket: str) -> bool:
    """Return whether a component has an input of this name."""
    return socket in part.__haystack_input__


def generators_within(part: AnyComponent) -> list[AnyComponent]:
    """Return the generators of an agent, or of a generator with fallbacks, and those within them."""
    found = [getattr(part, "chat_generator", None), *getattr(part, "chat_generators", ())]
    return [each for generator in found if generator for each in (generator, *generators_within(generator))]


def after(pipeline: Pipeline, name: str) -> set[str]:
    """Return the components that run after another one; itself too, if it is in a loop."""
    found, waiting = set[str](), [name]
    while waiting:
        new = {*pipeline.graph.successors(waiting.pop())} - found
        found |= new
        waiting += new
    return found


def generators_of(
    pipeline: Pipeline, end: Address, *, is_streamed: bool = True, path: tuple[str, ...] = ()
) -> Iterator[tuple[Address, AnyComponent]]:
    """Yield the nearest generators and agents that an output comes from, and the component that streams it or None.

    What a generator streams is the output if it is in no loop, and nothing but joiners follows.
    """
    name, output = end
    part = pipeline.get_component(name)
    source = source_of(part, output)
    if takes(part, "streaming_callback") or takes(part, "generation_kwargs"):
        yield end, source if is_streamed and name not in after(pipeline, name) else None
        return
    is_streamed &= type(part).__name__ in JOINERS or (isinstance(part, AnswerBuilder) and not part.pattern)
    for sender, _, edge in pipeline.graph.in_edges(name, data=True):
        if sender not in path:
            passes = is_streamed and edge["to_socket"].name in PASSED_ON
            sent = (sender, edge["from_socket"].name)
            yield from generators_of(pipeline, sent, is_streamed=passes, path=(*path, name))


def source_of(part: AnyComponent, output: str) -> AnyComponent:
    """Return the generator or agent that streams an output of a component: itself, one within it, or None."""
    if isinstance(getattr(part, "pipeline", None), Pipeline) and hasattr(part, "output_mapping"):  # a SuperComponent
        return _source_within(part, output)
    is_reply = output in ("last_message", "messages") if isinstance(part, Agent) else output != "meta"
    return part if is_reply and takes(part, "streaming_callback") else None


def _source_within(wrapper: AnyComponent, output: str) -> AnyComponent:
    """Give a SuperComponent the inputs of the generators of an output, and return the one that streams it or None."""
    path = next(path for path, name in wrapper.output_mapping.items() if name == output)
    name, _, socket = path.rpartition(".")
    inner, open_inputs = wrapper.pipeline, wrapper.pipeline.inputs()
    found = {address[0]: source for address, source in generators_of(inner, (name, socket))}
    streamed = {name: source for name, source in found.items() if source is not None}
    callable_by_client = [name for name in found if not isinstance(inner.get_component(name), Agent)]
    for each, names in zip(OF_GENERATORS, (streamed, found, callable_by_client), strict=True):
        wrapper.input_mapping[each] = [f"{name}.{each}" for name in names if each in open_inputs.get(name, ())]
        if wrapper.input_mapping[each]:
            component.set_input_type(wrapper, each, Any, None)
    (source,) = streamed.values() if len(streamed) == 1 else (None,)
    has_steps = "messages" in wrapper.output_mapping.values() or not isinstance(source, Agent)
    return source if has_steps else None
