"""Measuring a row: round by round, from server to server, so that the machine's noise hits all alike."""

import sys

from tests.benchmarks.figures import Result
from tests.benchmarks.load import LoadError
from tests.benchmarks.rows import ROWS, Row, Sample
from tests.benchmarks.servers import CONTESTANTS, Server, serving

__all__ = ["Rounds"]


class Rounds:
    """Measures rows, and remembers how it went.

    Args:
        count: how many rounds a row has, unless one is enough for it.
        quick: whether rounds are short, which makes them noisy.
        skip_slow: whether to leave out what would take very long.
    """

    def __init__(self, count: int, *, quick: bool, skip_slow: bool) -> None:
        self.failed: set[str] = set()
        self.load_cpu = 0.0  # the most of a core that the load took
        self._count = count
        self._quick = quick
        self._skip_slow = skip_slow

    def measure(self, key: str) -> list[Result]:
        """The figures of a row."""
        row = ROWS[key]
        missing = {**row.missing, **(row.slow if self._skip_slow else {})}
        samples: dict[str, list[Sample]] = {name: [] for name in CONTESTANTS if name not in missing}
        settings = {"SYNC_WORKERS": str(row.sync_workers), "LOG_LEVEL": "INFO" if row.logs else "WARNING"}
        with serving(tuple(samples), settings=settings, way=row.way, logs=row.logs) as servers:
            for _ in range(1 if row.once else self._count):
                for server in servers:
                    if server.name not in missing:
                        self._round(key, row, server, samples[server.name], missing)
        return [
            Result(figure, {name: [sample.values[at] for sample in taken] for name, taken in samples.items()}, missing)
            for at, figure in enumerate(row.figures)
        ]

    def _round(self, key: str, row: Row, server: Server, taken: list[Sample], missing: dict[str, str]) -> None:
        try:
            sample = row.measure(server, self._quick)
        except LoadError as error:
            taken.clear()  # a server that fails is not measured, however fast it was before
            missing[server.name] = f"failed in the row {key}: it {error}"
            self.failed.add(server.name)
            return
        taken.append(sample)
        self.load_cpu = max(self.load_cpu, sample.load_cpu)
        values = ", ".join(f"{value:,.4g} {f.unit}" for value, f in zip(sample.values, row.figures, strict=True))
        print(f"{key:20} {server.name:5} {values}, load {sample.load_cpu:.0%}", file=sys.stderr, flush=True)
