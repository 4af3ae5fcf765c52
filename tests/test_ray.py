"""Pack `ray`: the same application as replicas of Ray Serve."""

from importlib.util import find_spec

import pytest


@pytest.mark.skipif(not find_spec("ray"), reason="needs the extra `ray`")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Ray itself
def test_the_command_of_ray_gets_an_application() -> None:
    from ray import serve

    from app.ray import build

    assert isinstance(build({"max_replicas": "2"}), serve.Application)
