"""The application of the tests in a small Ray: `python -m tests.template.packs.ray_cluster PORT`."""

import signal
import sys
import threading

import ray
from ray import serve

from app.ray import deployment
from app.settings import Settings
from tests.template.e2e.serving import create_app

ATTEMPTS = 5  # Ray gives up if it has not started after 30 s, which no setting changes and a busy machine may need


def start_ray() -> None:
    options = {"num_cpus": 2, "object_store_memory": 100_000_000, "include_dashboard": False, "namespace": "serve"}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            ray.init("local", _node_ip_address="127.0.0.1", **options)
            return
        except Exception as error:
            if attempt == ATTEMPTS or "timed out during startup" not in str(error):
                raise


def main(port: int) -> None:
    """Serve until SIGTERM, and stop the replica before the rest."""
    start_ray()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())  # after Ray has set its handler
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(deployment(create_app, Settings.load(), {}))
    print("It serves.", flush=True)  # noqa: T201 - for which the test waits
    stopping.wait()
    serve.delete("default")
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
