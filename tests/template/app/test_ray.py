"""The deployment for Ray Serve: what it takes from the settings, and from the command."""

from importlib.util import find_spec

import pytest


@pytest.mark.skipif(not find_spec("ray"), reason="needs the extra `ray`: uv run --extra ray pytest")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # which importing Ray raises
def test_a_deployment_scales_by_its_arguments_and_leaves_replicas_room_to_refuse_and_time_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from app.ray import build

    monkeypatch.setenv("MAX_CONCURRENT_COMPLETIONS", "10")
    monkeypatch.setenv("SHUTDOWN_GRACE", "60")
    deployed = build({"min_replicas": "2", "max_replicas": "8"})._bound_deployment
    config = deployed._deployment_config

    scaling = config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas, scaling.target_ongoing_requests) == (2, 8, 50)
    assert deployed.max_ongoing_requests > 10
    assert config.graceful_shutdown_timeout_s == 65
