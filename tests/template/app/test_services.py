"""The protocols: any class with the right methods will do."""

import msgspec
import pytest

from app.pipelines import pipelines
from app.registry import PipelineService
from app.services import CompletionService, Hooks, ModelService
from app.settings import Settings


class Completes:
    def complete(self, model: str, messages: list[object], body: dict[str, object]) -> str:
        return ""


class Lists:
    async def list_models(self) -> list[str]:
        return []


def test_a_service_is_known_by_its_methods() -> None:
    assert (isinstance(Completes(), CompletionService), isinstance(Completes(), ModelService)) == (True, False)
    assert (isinstance(Lists(), CompletionService), isinstance(Lists(), ModelService)) == (False, True)
    service = PipelineService(pipelines, Settings())
    assert isinstance(service, CompletionService)
    assert isinstance(service, ModelService)


def test_no_hook_is_set_unless_given() -> None:
    assert msgspec.structs.asdict(Hooks()) == {"pre_hook": None, "post_hook": None, "chunk_mapper": None}


def test_hooks_are_a_value() -> None:
    with pytest.raises(AttributeError):
        Hooks().pre_hook = print  # type: ignore[misc]  # which the type says too
