"""The picture of the ratios: a bar for each server that ours is compared with, on a logarithmic scale."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from tests.benchmarks.figures import Result
from tests.benchmarks.servers import BARE, PEER

__all__ = ["render_picture"]

WIDTH, LEFT, TOP, STEP, BAR = 760, 260, 62, 34, 11
LOWEST, HIGHEST = 0.3, 100.0
GRID = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
NAMES = {PEER: "fastapi-openai-compat", BARE: "a bare ASGI loop"}
STYLE = """
.card { fill: #fff; stroke: #d0d7de } .peer { fill: #0969da } .bare { fill: #8c959f }
text { fill: #1f2328; font: 12px sans-serif } .faint { fill: #59636e }
.value { font-size: 11px }
.grid { stroke: #d8dee4 } .one { stroke: #59636e } .goal { stroke: #cf222e; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  .card { fill: #0d1117; stroke: #30363d } text { fill: #e6edf3 } .faint { fill: #9198a1 }
  .grid { stroke: #262c36 } .one { stroke: #9198a1 } .goal { stroke: #ff7b72 }
  .peer { fill: #4493f8 } .bare { fill: #6e7681 }
}
"""


def render_picture(results: Sequence[Result]) -> str:
    """An SVG image of how many times better ours is than the peer, and than the bare loop where a goal names it."""
    drawn = [result for result in results if result.ratio(PEER)]
    bottom = TOP + STEP * len(drawn)
    parts = [*_frame(bottom), *(part for at, result in enumerate(drawn) for part in _row(TOP + STEP * at, result))]
    body = "\n".join(parts)
    size = f'width="{WIDTH}" height="{bottom + 30}" viewBox="0 0 {WIDTH} {bottom + 30}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<style>{STYLE}</style>\n{body}\n</svg>\n'


def _frame(bottom: int) -> Iterator[str]:
    yield f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{bottom + 29}" rx="6"/>'
    yield '<text x="16" y="24" font-weight="bold">How many times better, by the last run of the benchmark</text>'
    for at, name in enumerate((PEER, BARE)):
        x = 16 + 200 * at
        yield f'<rect class="{name}" x="{x}" y="36" width="{BAR}" height="{BAR}"/>'
        yield f'<text class="faint" x="{x + 17}" y="46">than {NAMES[name]}</text>'
    yield '<line class="goal" x1="390" x2="390" y1="35" y2="48"/><text class="faint" x="398" y="46">goal</text>'
    for ratio in GRID:
        at_ratio = _x(ratio)
        kind = "one" if ratio == 1 else "grid"
        yield f'<line class="{kind}" x1="{at_ratio}" x2="{at_ratio}" y1="{TOP}" y2="{bottom}"/>'
        yield f'<text class="faint" x="{at_ratio}" y="{bottom + 18}" text-anchor="middle">{ratio:g} ×</text>'


def _row(y: int, result: Result) -> Iterator[str]:
    yield f'<text x="{LEFT - 12}" y="{y + 21}" text-anchor="end">{escape(result.figure.name)}</text>'
    limits = {goal.against: goal.limit for goal in result.figure.goals}
    for at, name in enumerate((PEER, BARE)):
        if (ratio := result.ratio(name)) and (name == PEER or name in limits):
            limit = _better(limits[name], result) if name in limits else None
            yield from _bar(y + 5 + (BAR + 1) * at, name, _better(ratio, result), limit)


def _bar(y: int, name: str, better: float, goal: float | None) -> Iterator[str]:
    start, end = sorted((_x(1), _x(better)))
    yield f'<rect class="{name}" x="{start}" y="{y}" width="{max(end - start, 1):.1f}" height="{BAR}"/>'
    if goal is not None:
        yield f'<line class="goal" x1="{_x(goal)}" x2="{_x(goal)}" y1="{y - 1}" y2="{y + BAR + 1}"/>'
        end = max(end, _x(goal))  # the number stands beside the mark
    yield f'<text class="value" x="{end + 5:.1f}" y="{y + 10}">{better:.2g} ×</text>'


def _better(ratio: float, result: Result) -> float:
    return 1 / ratio if result.figure.less else ratio


def _x(ratio: float) -> float:
    share = math.log(min(max(ratio, LOWEST), HIGHEST) / LOWEST) / math.log(HIGHEST / LOWEST)
    return round(LEFT + share * (WIDTH - LEFT - 60), 1)
