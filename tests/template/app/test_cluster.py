"""The deployment for Ray Serve: what it takes from the settings, and from the command."""

from importlib.util import find_spec
from typing import Any

import pytest

pytestmark = [
    pytest.mark.skipif(not find_spec("ray"), reason="needs the extra `ray`: uv run --extra ray pytest"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # which importing Ray raises
]


def deployed(**scaling: str) -> Any:
    """The deployment, as Ray sees it."""
    from app.ray import build

    return build(scaling)._bound_deployment


def test_it_scales_as_its_arguments_say() -> None:
    config = deployed(min_replicas="2", max_replicas="8")._deployment_config.autoscaling_config

    assert (config.min_replicas, config.max_replicas, config.target_ongoing_requests) == (2, 8, 50)


def test_a_full_replica_can_still_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_CONCURRENT_COMPLETIONS", "10")

    assert deployed().max_ongoing_requests > 10


def test_a_replica_that_goes_has_more_time_than_its_completions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUTDOWN_GRACE", "60")

    assert deployed()._deployment_config.graceful_shutdown_timeout_s == 65
