"""The table that a run prints."""

from collections.abc import Collection, Sequence

from tests.benchmarks.figures import Goal, Result
from tests.benchmarks.servers import BARE, CONTESTANTS, OURS, PEER

__all__ = ["align", "render_table"]

HEAD = ("figure", "unit", *CONTESTANTS, "ours/peer", "ours/bare", "goal")
TEXTS = {0, 1, len(HEAD) - 1}  # columns that start at the left


def render_table(results: Sequence[Result]) -> str:
    """All figures, and what was not measured, with the reason."""
    head, *rest = align([HEAD, *map(_line, results)], left=TEXTS)
    reasons = dict.fromkeys(f"{name}: {why}." for result in results for name, why in result.missing.items())
    return "\n".join([head, "-" * len(head), *rest, *(("", "–: not measured", *reasons) if reasons else ())])


def align(lines: Sequence[Sequence[str]], left: Collection[int]) -> list[str]:
    """Lines of cells as text, each column as wide as it must be.

    Args:
        lines: the cells.
        left: which columns start at the left; the others end at the right.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    signs = ["<" if column in left else ">" for column in range(len(widths))]
    form = "  ".join(f"{{:{sign}{width}}}" for sign, width in zip(signs, widths, strict=True))
    return [form.format(*line).rstrip() for line in lines]


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
