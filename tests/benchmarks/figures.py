"""What is measured: a figure of each server, its ratios, and the goal it is held to."""

from collections.abc import Mapping
from statistics import median

from msgspec import Struct

from tests.benchmarks.servers import BARE, OURS, PEER

__all__ = ["Figure", "Goal", "Result", "absolute", "times"]


class Goal(Struct, frozen=True):
    """A limit that our figure must keep: a ratio to another server's figure, or the figure itself."""

    limit: float
    against: str = OURS


class Figure(Struct, frozen=True):
    """A figure.

    Args:
        name: what it is of.
        unit: what it is in.
        goals: what ours must reach.
        less: whether less is better.
    """

    name: str
    unit: str
    goals: tuple[Goal, ...] = ()
    less: bool = False


class Result(Struct, frozen=True):
    """A figure of each server: the median of its rounds.

    Args:
        figure: which.
        rounds: what each round measured, by the server's name; empty if it was not measured.
        missing: why a server was not measured, by its name.
    """

    figure: Figure
    rounds: Mapping[str, list[float]]
    missing: Mapping[str, str]

    def value(self, name: str) -> float | None:
        """The figure of a server."""
        return median(self.rounds[name]) if self.rounds.get(name) else None

    def ratio(self, against: str) -> float | None:
        """Our figure as a multiple of another server's."""
        ours, other = self.value(OURS), self.value(against)
        return ours / other if ours is not None and other else None

    def verdict(self, goal: Goal) -> str:
        """Whether a goal is `met`, `missed`, or `not measured`."""
        value = self.value(OURS) if goal.against == OURS else self.ratio(goal.against)
        if value is None:
            return "not measured"
        return "met" if (value <= goal.limit if self.figure.less else value >= goal.limit) else "missed"


def times(peer: float, bare: float | None = None) -> tuple[Goal, ...]:
    """Goals as multiples of the peer's figure, and of the bare loop's."""
    return (Goal(peer, PEER),) if bare is None else (Goal(peer, PEER), Goal(bare, BARE))


def absolute(limit: float) -> tuple[Goal, ...]:
    """A goal for the figure itself."""
    return (Goal(limit),)
