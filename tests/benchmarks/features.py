"""What each feature of production costs: our server with it, and without any."""

import sys
from collections import ChainMap
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from statistics import median

from msgspec import Struct

from tests.benchmarks.servers import KEY, OURS, Server, serving
from tests.benchmarks.table import align
from tests.benchmarks.throughput import measure_throughput
from tests.template.e2e.redis import REDIS, Redis
from tests.template.upstream import Upstream

__all__ = ["Cost", "measure_costs", "render_costs"]

ASKED = ("answer-async", "burst-async")
HEAD = ("what is on", "µs a small answer", "more", "µs a stream of 200 chunks", "more")
NOTHING = "nothing"


class Cost(Struct, frozen=True):
    """The microseconds of CPU that an answer took in each round, by what was asked for."""

    feature: str
    rounds: Mapping[str, list[float]]

    def more(self, asked: str, than: "Cost") -> float:
        """The median of what it took more, round by round, as the machine is faster in some."""
        return median(own - other for own, other in zip(self.rounds[asked], than.rounds[asked], strict=True))


def measure_costs(rounds: int) -> list[Cost]:
    """Measure, round by round, from feature to feature."""
    with ExitStack() as stack:
        features = _features(stack)
        costs = [Cost(name, {asked: [] for asked in ASKED}) for name in features]
        servers = [
            stack.enter_context(serving((OURS,), settings={"LOG_LEVEL": "WARNING"} | settings, logs=True))[0]
            for settings in features.values()
        ]
        for _ in range(rounds):
            for server, cost in zip(servers, costs, strict=True):
                for asked, taken in cost.rounds.items():
                    taken.append(_cpu(server, asked))
                    print(f"{cost.feature:20} {asked:12} {taken[-1]:,.4g} µs", file=sys.stderr, flush=True)
    return costs


def render_costs(costs: Sequence[Cost]) -> str:
    """A table of the medians, and of what is more than with nothing on."""
    lines: list[tuple[str, ...]] = [HEAD]
    for cost in costs:
        cells = [cost.feature]
        for asked in ASKED:
            more = "" if cost.feature == NOTHING else f"{cost.more(asked, costs[0]):+,.0f}"
            cells += [f"{median(cost.rounds[asked]):,.0f}", more]
        lines.append(tuple(cells))
    return "\n".join(align(lines, left={0}))


def _cpu(server: Server, model: str) -> float:
    before = server.cpu
    report = measure_throughput(server, model, seconds=1)
    return (server.cpu - before) / report.answers * 1e6


def _features(stack: ExitStack) -> dict[str, dict[str, str]]:
    """The settings by what they turn on, and what those need, until the stack is closed."""
    keys = {"API_KEYS": KEY}
    limits = keys | {"REQUESTS_PER_MINUTE": "1000000"}
    features = {NOTHING: {}, "a line in the log": {"LOG_LEVEL": "INFO", "LOG_FORMAT": "json"}}
    features |= {"keys": keys, "keys, limits": limits}
    if REDIS is not None:
        features["keys, limits in Redis"] = limits | {"REDIS_URL": stack.enter_context(Redis()).url}
    features["METRICS"] = {"METRICS": "true"}
    collector = stack.enter_context(Upstream())
    features["TRACING"] = {"TRACING": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    return features | {"all of them": dict(ChainMap(*reversed(features.values())))}
