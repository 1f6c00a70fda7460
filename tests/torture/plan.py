"""What happens to a trader and when, drawn from a seed: every named point once in a block, deaths from outside, faults around them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kedge.services.kill_points import KILL_POINTS

OUTSIDE = "outside"
"""Killed from outside at some moment of wall time."""
SPARED = "spared"
"""Not killed: faults alone."""
FROZEN = "frozen"
"""Stopped with SIGSTOP, and let go on much later."""
SECOND = "second"
"""Not harmed: another trader is started on the same state folder."""
LIVES_ON = (SPARED, FROZEN, SECOND)
OUTSIDE_IN_A_BLOCK = 5
SPARED_IN_A_BLOCK = 3
FROZEN_FOR_S = 10.0
FROZEN_AT = ("", "before_send", "after_send", "after_commit", "before_ack")
"""Where it is stopped; '' at any moment."""
COUNTS = {
    "before_step": 14, "before_commit": 14, "after_commit": 14, "before_send": 5, "after_send": 5, "before_answer_commit": 5,
    "after_answer_commit": 5, "reconcile_begin": 2, "reconcile_after_reading": 2, "reconcile_mid_events": 2, "reconcile_end": 2,
    "before_ack": 12, "after_ack": 12,
}  # fmt: skip
"""The largest count drawn for a point; 1 where none is named."""

AMENDS = ("before_amend", "after_amend_answer")
"""Reached only where resting orders follow the price."""
OTHERS = tuple(point for point in KILL_POINTS if point not in AMENDS)

Fault = dict[str, Any]
ORDERS = "/v5/order/create"
UNANSWERED: tuple[Fault, ...] = (
    {"fault": "timeout_after", "path": ORDERS},
    {"fault": "drop_reply", "path": ORDERS},
)
CUTS: tuple[Fault, ...] = tuple({"fault": "cut", "stream": stream} for stream in ("private", "public", "trade", ""))
WEATHER: tuple[Fault, ...] = (
    {"fault": "lose_private", "count": 1},
    {"fault": "lose_private", "count": 4},
    {"fault": "duplicate_execution", "count": 3},
    {"fault": "reorder_private", "count": 3},
    {"fault": "delay_private", "ms": 400},
    {"fault": "delay_reply", "ms": 300, "path": ORDERS},
    {"fault": "reject", "code": 10016, "path": ORDERS},
    {"fault": "maintenance", "ms": 300},
    *UNANSWERED,
    *CUTS,
)
COMMON = 0.45
"""Share of deaths with other faults around them."""


@dataclass(frozen=True)
class Blow:
    """One thing that happens to a trader: the point it dies at and how often it gets there first, or when it is killed from outside.

    `faults` are ordered once the books have been found equal, right before; `is_early` kills from outside are counted from the start of
    the process, so that they also meet it while it starts and recovers. `at` names the point where a trader is stopped, for `frozen_s`.
    """

    point: str
    count: int = 1
    wait_s: float = 0.0
    is_early: bool = False
    at: str = ""
    frozen_s: float = FROZEN_FOR_S
    faults: tuple[Fault, ...] = ()

    @property
    def is_named(self) -> bool:
        return self.point in KILL_POINTS

    @property
    def kills(self) -> bool:
        return self.point not in LIVES_ON

    @property
    def armed(self) -> str:
        """What the trader is told to do to itself; '' for nothing."""
        return f"{self.point}:{self.count}" if self.is_named else f"{self.at}:{self.count}:freeze" if self.at else ""

    def __str__(self) -> str:
        place = f"{self.wait_s:.2f}s{' early' if self.is_early else ''}" if self.point == OUTSIDE else f"{self.at}{self.count}"
        faults = "".join(f" +{fault['fault']}{':' + fault['stream'] if fault.get('stream') else ''}" for fault in self.faults)
        return f"{self.point}:{place}{faults}"


def block(
    rng: random.Random,
    points: Sequence[str] = KILL_POINTS,
    outside: int = OUTSIDE_IN_A_BLOCK,
    spared: int = SPARED_IN_A_BLOCK,
    *,
    frozen: int = 1,
    second: int = 1,
) -> list[Blow]:
    """One market's worth: each of these points once, in any order, mixed with deaths from outside and with what does not kill."""
    blows = [_named(rng, point) for point in points]
    blows += [
        Blow(OUTSIDE, wait_s=rng.uniform(0.0, 2.0), is_early=rng.random() < 0.5, faults=_weather(rng, COMMON)) for _ in range(outside)
    ]
    blows += [Blow(SPARED, faults=(cut, *_weather(rng, 0.7))) for cut in rng.sample(CUTS, spared)]
    blows += [frozen_blow(rng) for _ in range(frozen)]
    blows += [Blow(SECOND) for _ in range(second)]
    rng.shuffle(blows)
    return blows


def frozen_blow(rng: random.Random, at: str | None = None, frozen_s: float = FROZEN_FOR_S) -> Blow:
    """A trader that stands still, at any moment or at a point."""
    at = rng.choice(FROZEN_AT) if at is None else at
    return Blow(FROZEN, rng.randint(1, COUNTS.get(at, 1)), rng.uniform(0.0, 1.0), at=at, frozen_s=frozen_s, faults=_weather(rng, COMMON))


def _named(rng: random.Random, point: str) -> Blow:
    return Blow(point, rng.randint(1, COUNTS.get(point, 1)), faults=(*_needed(rng, point), *_weather(rng, COMMON)))


def _needed(rng: random.Random, point: str) -> tuple[Fault, ...]:
    """What a point needs that an undisturbed trader never reaches."""
    if point == "lookup":
        return (rng.choice(UNANSWERED), {"fault": "lose_private", "count": 2})
    if point == "reconcile_mid_events":
        return ({"fault": "lose_private", "for_ms": 6_000}, *([rng.choice(CUTS)] if rng.random() < 0.5 else []))
    if point == "reconnect":
        return (rng.choice(CUTS),)
    if point == "before_cancel":
        return ({"fault": "delay_reply", "ms": 1_200, "path": ORDERS, "count": 4}, {"fault": "delay_private", "ms": 4_000})
    return ()


def _weather(rng: random.Random, share: float) -> tuple[Fault, ...]:
    return tuple(rng.sample(WEATHER, rng.randint(1, 2))) if rng.random() < share else ()
