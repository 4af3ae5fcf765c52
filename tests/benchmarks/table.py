"""The table that a run prints."""

from collections.abc import Iterable, Sequence

from tests.benchmarks.figures import Goal, Result
from tests.benchmarks.servers import BARE, CONTESTANTS, OURS, PEER

__all__ = ["render_table"]

HEAD = ("figure", "unit", *CONTESTANTS, "ours/peer", "ours/bare", "goal")
TEXTS = {0, 1, len(HEAD) - 1}  # columns that start at the left


def render_table(results: Sequence[Result]) -> str:
    """All figures, and what was not measured, with the reason."""
    lines = [HEAD, *map(_line, results)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    head, *rest = ("  ".join(_padded(line, widths)).rstrip() for line in lines)
    reasons = dict.fromkeys(f"{name}: {why}." for result in results for name, why in result.missing.items())
    return "\n".join([head, "-" * len(head), *rest, *(("", "–: not measured", *reasons) if reasons else ())])


def _line(result: Result) -> tuple[str, ...]:
    return (
        result.figure.name,
        result.figure.unit,
        *(_number(result.value(name)) for name in CONTESTANTS),
        _number(result.ratio(PEER), " ×"),
        _number(result.ratio(BARE), " ×"),
        ", ".join(f"{_limit(goal, result)} {result.verdict(goal)}" for goal in result.figure.goals),
    )


def _limit(goal: Goal, result: Result) -> str:
    sign = "≤" if result.figure.less else "≥"
    return f"{sign} {goal.limit:g} {result.figure.unit if goal.against == OURS else f'× {goal.against}'}"


def _number(value: float | None, unit: str = "") -> str:
    """A number with three digits that count."""
    if value is None:
        return "–"
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}{unit}"


def _padded(line: Iterable[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column in TEXTS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
