"""Models on the wire."""

import msgspec
import pytest
from openai.types import Model as OpenAIModel

from schemas.models import Model, ModelList
from tests.factories import ModelFactory
from tests.template.factories import ModelListFactory


def test_a_model_has_the_keys_of_openai_in_its_order() -> None:
    model = Model(id="a/b", created=7, owned_by="me")

    assert msgspec.json.encode(model) == b'{"id":"a/b","object":"model","created":7,"owned_by":"me"}'
    OpenAIModel.model_validate(msgspec.to_builtins(model), strict=True)


def test_what_a_model_does_not_say_is_left_out() -> None:
    assert msgspec.to_builtins(Model(id="a")) == {"id": "a", "object": "model"}


def test_models_are_in_a_list() -> None:
    models = [ModelFactory.build(created=7, owned_by="me") for _ in range(2)]

    assert msgspec.to_builtins(ModelList(data=models)) == {
        "object": "list",
        "data": [{"id": model.id, "object": "model", "created": 7, "owned_by": "me"} for model in models],
    }


def test_a_model_is_a_value() -> None:
    assert Model(id="a") == Model(id="a")
    with pytest.raises(AttributeError):
        Model(id="a").id = "b"  # type: ignore[misc]  # which the type says too


def test_what_is_sent_can_be_read_again() -> None:
    for models in ModelListFactory.batch(10):
        assert msgspec.json.decode(msgspec.json.encode(models), type=ModelList) == models
