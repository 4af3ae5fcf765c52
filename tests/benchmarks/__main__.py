"""Compare this server with fastapi-openai-compat and a bare ASGI loop: `just bench --help`."""

import argparse
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.features import measure_costs, render_costs
from tests.benchmarks.figures import Result
from tests.benchmarks.picture import render_picture
from tests.benchmarks.rounds import Rounds
from tests.benchmarks.rows import ROWS
from tests.benchmarks.servers import CONTESTANTS, OURS, raise_file_limit
from tests.benchmarks.table import render_table
from tests.benchmarks.throughput import GENERATOR

HERE = Path(__file__).parent
FEATURES = "features"
ALL = [*ROWS, FEATURES]
PACKAGES = ("litestar", "fastapi", "fastapi-openai-compat", "msgspec", "uvicorn", "uvloop", "httptools")


class Options(argparse.Namespace):
    """What the command line says."""

    only: list[str]
    rounds: int
    quick: bool
    skip_slow: bool
    json: Path
    picture: Path | None


def main() -> int:
    """Run the benchmark; 1 says that our own server did not answer as it should."""
    options = _parser().parse_args(namespace=Options())
    raise_file_limit()
    started, busy = time.monotonic(), os.getloadavg()[0]
    count = 1 if options.quick else options.rounds
    rounds = Rounds(count, quick=options.quick, skip_slow=options.skip_slow or options.quick)
    rows = [rounds.measure(key) for key in options.only if key in ROWS]
    results = [result for row in rows for result in row]
    costs = measure_costs(count) if FEATURES in options.only else []
    conditions = _conditions(rounds, busy, time.monotonic() - started)
    tables = [render_table(results)] * bool(results) + [render_costs(costs)] * bool(costs)
    print("", *tables, conditions, sep="\n\n")
    record = {"conditions": conditions, "figures": [_record(result) for result in results], "costs": costs}
    options.json.write_bytes(msgspec.json.format(msgspec.json.encode(record)))
    if picture := options.picture or _default_picture(options):
        picture.write_text(render_picture([row[0] for row in rows]), encoding="utf-8")
    return int(OURS in rounds.failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="just bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=ALL, default=ALL, metavar="ROW", help=", ".join(ALL))
    parser.add_argument("--rounds", type=int, default=3, help="how many; the median counts (default: %(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="one short round without what is slow: whether it works, not how fast"
    )
    parser.add_argument("--skip-slow", action="store_true", help="leave out what takes the peer a minute")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "latest.json", help="where the figures go")
    parser.add_argument("--picture", type=Path, help="where the picture goes; a whole run replaces ratios.svg")
    return parser


def _default_picture(options: Options) -> Path | None:
    return HERE / "ratios.svg" if options.only == ALL and not options.quick else None


def _conditions(rounds: Rounds, busy: float, seconds: float) -> str:
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"Load: {GENERATOR} for answers and streams a second, a client of our own for the rest;\n"
        f"it never took more than {rounds.load_cpu:.0%} of a core. Our server had its default settings, but no log.\n"
        f"Python {platform.python_version()}, {versions}.\n"
        f"It took {seconds:.0f} s; before it, the load of the machine's {os.cpu_count()} cores was {busy:.1f}."
    )


def _record(result: Result) -> dict[str, Any]:
    figure = result.figure
    return {
        "figure": figure.name,
        "unit": figure.unit,
        "rounds": result.rounds,
        "medians": {name: result.value(name) for name in CONTESTANTS},
        "ratios": {name: result.ratio(name) for name in CONTESTANTS if name != OURS},
        "goals": [
            {"limit": goal.limit, "against": goal.against, "verdict": result.verdict(goal)} for goal in figure.goals
        ],
        "missing": result.missing,
    }


if __name__ == "__main__":
    raise SystemExit(main())
