"""Pipelines in YAML, as Haystack writes them, with the sections that Hayhooks adds."""

from collections.abc import Mapping
from typing import Any, Unpack

from haystack import Pipeline
from haystack.dataclasses import ChatMessage
from haystack.marshal import YamlMarshaller

from app.errors import InvalidRequestError
from app.haystack.discovery import QUESTION, Data, OneOrMore, Options, as_list
from app.haystack.graph import after, takes
from app.haystack.messages import last_question
from app.haystack.model import HaystackModel, haystack_pipeline
from app.services import Body

__all__ = ["haystack_yaml"]


def haystack_yaml(text: str, **arguments: Unpack[Options]) -> HaystackModel:
    """Return a model that runs a pipeline in YAML.

    Of Hayhooks' sections, `inputs` are the conversation (`messages`), the user's last message (`query` or `question`),
    or fields of the request; the first of `outputs` with a value is the reply, but for `documents`, which are shown as
    sources; and `streaming_components` are streamed, or all that can and are in no loop if it is `all`.

    Args:
        text: The YAML.
        **arguments: Those of `haystack_pipeline`, which count more than the sections.
    """
    sections, pipeline = YamlMarshaller().unmarshal(text), Pipeline.loads(text)
    if inputs := sections.get("inputs"):
        arguments.setdefault("inputs", lambda messages, body: _inputs(pipeline, inputs, messages, body))
    outputs = {name: as_list(value)[0] for name, value in (sections.get("outputs") or {}).items()}
    if documents := outputs.pop("documents", None):
        arguments.setdefault("documents", documents)
    if outputs:
        arguments.setdefault("output", [*outputs.values()])
    if streaming := sections.get("streaming_components"):
        if streaming == "all":
            can_stream = [name for name, component in pipeline.walk() if takes(component, "streaming_callback")]
            streaming = [name for name in can_stream if name not in after(pipeline, name)]
        arguments.setdefault("streaming", streaming)
    return haystack_pipeline(pipeline, **arguments)


def _inputs(pipeline: Pipeline, declared: Mapping[str, OneOrMore], messages: list[ChatMessage], body: Body) -> Data:
    data: Data = {}
    for name, addresses in declared.items():
        for address in as_list(addresses):
            component, _, socket = address.partition(".")
            value = _value({name, socket}, messages, body, name)
            if value is not None:
                data.setdefault(component, {})[socket] = value
            elif pipeline.inputs()[component][socket]["is_mandatory"]:
                raise InvalidRequestError(f"This model needs the field '{name}' in the request.", param=name)
    return data


def _value(names: set[str], messages: list[ChatMessage], body: Body, name: str) -> Any:
    if "messages" in names:
        return messages
    return last_question(messages) if names & {*QUESTION} else body.get(name)
