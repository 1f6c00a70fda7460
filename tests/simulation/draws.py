"""What can be drawn: single troubles and wishes with their arguments, pools of them, and troubles that only together lead into a corner."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from tests.simulation.script import Action, Word

CREATE, AMEND, CANCEL, STOP = "/v5/order/create", "/v5/order/amend", "/v5/order/cancel", "/v5/position/trading-stop"
POINTS: Final = (
    "before_step", "before_commit", "after_commit", "before_send", "after_send", "before_answer_commit", "after_answer_commit",
    "before_cancel", "before_amend", "after_amend_answer", "after_timer", "reconcile_begin", "reconcile_after_reading",
    "reconcile_mid_events", "reconcile_end", "lookup", "before_snapshot", "after_snapshot", "reconnect",
)  # fmt: skip
_OFTEN: Final = ("before_step", "before_commit", "after_commit")
REFUSALS: Final = (110007, 10006, 110094, 110017, 170140)

Draw = Callable[[Random], tuple[str, dict[str, Word]]]


def count(kind: str, path: str = CREATE, most: int = 3) -> Draw:
    return lambda rng: (kind, {"count": rng.randint(1, most), "path": path})


def late(kind: str, path: str, least: int, most: int) -> Draw:
    return lambda rng: (kind, {"count": rng.randint(1, 3), "path": path, "ms": rng.randint(least, most)})


def private(kind: str, most: int = 6) -> Draw:
    return lambda rng: (kind, {"count": rng.randint(1, most)})


def span(kind: str, least: int, most: int) -> Draw:
    return lambda rng: (kind, {"ms": rng.randint(least, most)})


def _lasting(kind: str, path: str) -> Draw:
    return lambda rng: (kind, {"for_ms": rng.randint(6_000, 30_000), "path": path})


def spell_of_slow_answers(rng: Random) -> tuple[str, dict[str, Word]]:
    return "delay_reply", {"for_ms": rng.randint(8_000, 30_000), "path": CREATE, "ms": rng.randint(900, 1_420)}


def spell_of_lost_rows(rng: Random) -> tuple[str, dict[str, Word]]:
    return "lose_private", {"for_ms": rng.randint(5_000, 20_000), "rate_bps": rng.randint(2_000, 6_000)}


def _reject(path: str) -> Draw:
    return lambda rng: ("reject", {"count": rng.randint(1, 2), "path": path, "code": rng.choice(REFUSALS)})


def _cut(rng: Random) -> tuple[str, dict[str, Word]]:
    return "private_cut", {"ms": rng.randint(300, 6_000), "late_ms": rng.randint(0, 1_500)}


def _slow_lists(rng: Random) -> tuple[str, dict[str, Word]]:
    return "slow_lists", {"ms": rng.randint(2_000, 10_000), "late_ms": rng.randint(50, 900)}


def refuse_later(rng: Random) -> tuple[str, dict[str, Word]]:
    return "refuse_later", {"count": rng.randint(1, 3), "ms": rng.choice((1, 15, 60, 400, 1_500, 4_000)), "shown": rng.randint(0, 1)}


def _skew(rng: Random) -> tuple[str, dict[str, Word]]:
    return "clock_skew", {"ms": rng.choice((-1, 1)) * rng.randint(50, 1_800), "for_ms": rng.randint(1_000, 15_000)}


def kill(rng: Random) -> tuple[str, dict[str, Word]]:
    point = rng.choice(POINTS)
    return "kill", {"point": point, "count": rng.randint(1, 40 if point in _OFTEN else 2), "ms": rng.randint(50, 3_000)}


def jump(rng: Random) -> tuple[str, dict[str, Word]]:
    return "jump", {"instrument": rng.randrange(3), "bps": rng.choice((-1, 1)) * rng.randint(20, 300)}


def _flow(rng: Random) -> tuple[str, dict[str, Word]]:
    return rng.choice(("deposit", "withdraw")), {"amount": rng.randint(1, 2_000)}


def act(kind: str) -> Draw:
    return lambda rng: (kind, {"instrument": rng.randrange(3)} if kind in ("foreign_order", "guard_order", "foreign_trade") else {})


ORDERS: Final[tuple[Draw, ...]] = (
    count("lose_request"), count("drop_reply"), count("hang_reply"), count("timeout_after"), late("delay_request", CREATE, 100, 2_500),
    late("delay_reply", CREATE, 100, 2_000), _reject(CREATE), refuse_later,
)  # fmt: skip
CANCELS: Final[tuple[Draw, ...]] = (
    count("lose_request", CANCEL), count("drop_reply", CANCEL), count("hang_reply", CANCEL), count("timeout_after", CANCEL),
    late("delay_request", CANCEL, 100, 1_500), late("delay_reply", CANCEL, 100, 1_400), _reject(CANCEL),
)  # fmt: skip
AMENDS: Final[tuple[Draw, ...]] = (
    count("lose_request", AMEND), count("drop_reply", AMEND), count("hang_reply", AMEND), count("timeout_after", AMEND),
    late("delay_request", AMEND, 100, 1_500), late("delay_reply", AMEND, 100, 1_400), _reject(AMEND),
    lambda rng: ("ignore_amends", {"count": rng.randint(1, 3)}),
)  # fmt: skip
STREAMS: Final[tuple[Draw, ...]] = (
    private("lose_private"), private("duplicate_private"), private("duplicate_execution"), private("reorder_private"),
    span("delay_private", 100, 3_000), span("lose_trades", 1_000, 4_000), _cut, span("public_cut", 500, 6_000),
)  # fmt: skip
VENUE: Final[tuple[Draw, ...]] = (
    span("ban", 500, 5_000), span("maintenance", 500, 5_000), span("deaf", 200, 4_000), _slow_lists, _skew,
    span("stale_book", 500, 5_000), span("crossed_book", 500, 5_000), span("no_permits", 1_000, 6_000),
)  # fmt: skip
STOPS: Final[tuple[Draw, ...]] = (
    count("lose_request", STOP), count("drop_reply", STOP), count("hang_reply", STOP), late("delay_reply", STOP, 100, 1_400),
    _reject(STOP), count("timeout_after", STOP), _lasting("lose_request", STOP), _lasting("reject", STOP),
)  # fmt: skip
WISHES: Final[tuple[Draw, ...]] = (_flow, _flow, jump)
COMMANDS: Final[tuple[Draw, ...]] = (act("halt"), act("flatten"), act("cancel_all"))

Combination = Callable[[Random, int], list[Action]]
"""Troubles that only together lead into a rare corner, from one moment on."""


def _create(kind: str, for_ms: int, **more: Word) -> tuple[str, dict[str, Word]]:
    return kind, {"for_ms": for_ms, "path": CREATE, **more}


def _together(*parts: Callable[[Random], tuple[str, dict[str, Word]]]) -> Combination:
    return lambda rng, at_ms: [Action(at_ms + n, *part(rng)) for n, part in enumerate(parts)]


_SPELL = 12_000
SLOW = _together(
    lambda rng: _create("delay_reply", _SPELL, ms=rng.randint(900, 1_420)), lambda rng: ("lose_first", {"count": rng.randint(4, 10)}),
    lambda rng: ("late_executions", {"ms": _SPELL, "late_ms": rng.randint(300, 1_600)}),
)  # fmt: skip
SLOW_AND_GONE = _together(
    lambda rng: _create("delay_reply", _SPELL, ms=rng.randint(1_000, 1_420)), lambda rng: ("lose_first", {"count": rng.randint(4, 10)}),
    lambda rng: ("cancel_there", {}),
)  # fmt: skip
DARK = _together(
    lambda rng: _create(rng.choice(("drop_reply", "hang_reply")), 9_000), lambda rng: ("lose_first", {"count": rng.randint(4, 10)}),
    lambda rng: ("deaf", {"ms": rng.randint(4_000, 9_000)}),
)  # fmt: skip
CHASED_IN_THE_DARK = _together(
    lambda rng: _create(rng.choice(("drop_reply", "hang_reply")), 9_000), lambda rng: ("lose_first", {"count": rng.randint(6, 12)}),
    lambda rng: ("deaf", {"ms": rng.randint(5_000, 9_000)}), lambda rng: ("drop_reply", {"for_ms": 9_000, "path": AMEND}),
)  # fmt: skip
NIBBLED = _together(
    lambda rng: _create("delay_reply", _SPELL, ms=rng.randint(1_000, 1_420)), lambda rng: ("lose_first", {"count": rng.randint(6, 12)}),
    lambda rng: ("nibble", {"count": 40, "ms": 300}),
)  # fmt: skip
UNTOLD = _together(
    lambda rng: ("lose_trades", {"ms": rng.randint(6_000, 12_000)}), lambda rng: ("nibble", {"count": 30, "ms": 300}),
)  # fmt: skip
REFUSED_EARLY = _together(
    lambda rng: ("refuse_later", {"count": 3, "ms": rng.choice((1, 15, 60, 300)), "shown": rng.randint(0, 1)}),
    lambda rng: _create("delay_reply", _SPELL, ms=rng.randint(400, 1_420)),
)  # fmt: skip
REFUSED_TWICE = _together(
    lambda rng: ("refuse_later", {"count": 3, "ms": rng.choice((60, 400, 1_500)), "shown": 1}),
    lambda rng: ("duplicate_private", {"for_ms": 10_000}),
)  # fmt: skip
REFUSED_UNSEEN = _together(
    lambda rng: ("refuse_later", {"count": 3, "ms": rng.randint(1_600, 4_000), "shown": 0}), lambda rng: _create("hang_reply", 6_000),
    lambda rng: ("deaf", {"ms": rng.randint(4_000, 8_000)}),
)  # fmt: skip
REFUSED_WHILE_MOVED = _together(
    lambda rng: ("refuse_later", {"count": 4, "ms": rng.randint(600, 2_000), "shown": 1}),
    lambda rng: ("delay_request", {"for_ms": _SPELL, "path": AMEND, "ms": rng.randint(300, 900)}),
)  # fmt: skip
CHANGES_UNSEEN = _together(
    lambda rng: ("late_orders", {"ms": _SPELL, "late_ms": rng.randint(400, 2_500)}),
    lambda rng: ("drop_reply", {"for_ms": _SPELL, "path": AMEND, "rate_bps": 6_000}),
    lambda rng: ("drop_reply", {"for_ms": _SPELL, "path": CANCEL, "rate_bps": 6_000}),
)  # fmt: skip
NEVER_THERE = _together(
    lambda rng: _create("lose_request", 5_000), lambda rng: ("hang_reply", {"for_ms": 10_000, "path": CANCEL}),
)  # fmt: skip
TWICE = _together(
    lambda rng: ("duplicate_private", {"for_ms": 8_000}), lambda rng: _create("delay_reply", 8_000, ms=rng.randint(300, 1_400)),
)  # fmt: skip
