"""Scripts from seeds. Every day has its share of everything; its theme says of what it has more, so that rare corners are reached often."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import Final

import msgspec
from tests.simulation.script import Action, Script, Word

CREATE, AMEND, CANCEL, STOP = "/v5/order/create", "/v5/order/amend", "/v5/order/cancel", "/v5/position/trading-stop"
STYLES: Final = (
    "market", "limit", "chase", "chase+exits", "chase+stop", "twap", "twap+rest", "participation", "participation+rest", "stop_entry",
)  # fmt: skip
SECONDS: Final = 90
POINTS: Final = (
    "before_step", "before_commit", "after_commit", "before_send", "after_send", "before_answer_commit", "after_answer_commit",
    "before_cancel", "before_amend", "after_amend_answer", "after_timer", "reconcile_begin", "reconcile_after_reading",
    "reconcile_mid_events", "reconcile_end", "lookup", "before_snapshot", "after_snapshot", "reconnect",
)  # fmt: skip
_OFTEN: Final = ("before_step", "before_commit", "after_commit")
REFUSALS: Final = (110007, 10006, 110094, 110017, 170140)

Draw = Callable[[Random], tuple[str, dict[str, Word]]]


def _count(kind: str, path: str = CREATE, most: int = 3) -> Draw:
    return lambda rng: (kind, {"count": rng.randint(1, most), "path": path})


def _late(kind: str, path: str, least: int, most: int) -> Draw:
    return lambda rng: (kind, {"count": rng.randint(1, 3), "path": path, "ms": rng.randint(least, most)})


def _private(kind: str, most: int = 6) -> Draw:
    return lambda rng: (kind, {"count": rng.randint(1, most)})


def _span(kind: str, least: int, most: int) -> Draw:
    return lambda rng: (kind, {"ms": rng.randint(least, most)})


def _lasting(kind: str, path: str) -> Draw:
    return lambda rng: (kind, {"for_ms": rng.randint(6_000, 30_000), "path": path})


def _spell_of_slow_answers(rng: Random) -> tuple[str, dict[str, Word]]:
    return "delay_reply", {"for_ms": rng.randint(8_000, 30_000), "path": CREATE, "ms": rng.randint(900, 1_420)}


def _spell_of_lost_rows(rng: Random) -> tuple[str, dict[str, Word]]:
    return "lose_private", {"for_ms": rng.randint(5_000, 20_000), "rate_bps": rng.randint(2_000, 6_000)}


def _reject(path: str) -> Draw:
    return lambda rng: ("reject", {"count": rng.randint(1, 2), "path": path, "code": rng.choice(REFUSALS)})


def _cut(rng: Random) -> tuple[str, dict[str, Word]]:
    return "private_cut", {"ms": rng.randint(300, 6_000), "late_ms": rng.randint(0, 1_500)}


def _slow_lists(rng: Random) -> tuple[str, dict[str, Word]]:
    return "slow_lists", {"ms": rng.randint(2_000, 10_000), "late_ms": rng.randint(50, 900)}


def _refuse_later(rng: Random) -> tuple[str, dict[str, Word]]:
    return "refuse_later", {"count": rng.randint(1, 3), "ms": rng.choice((1, 15, 60, 400, 1_500, 4_000)), "shown": rng.randint(0, 1)}


def _skew(rng: Random) -> tuple[str, dict[str, Word]]:
    return "clock_skew", {"ms": rng.choice((-1, 1)) * rng.randint(50, 1_800), "for_ms": rng.randint(1_000, 15_000)}


def _kill(rng: Random) -> tuple[str, dict[str, Word]]:
    point = rng.choice(POINTS)
    return "kill", {"point": point, "count": rng.randint(1, 40 if point in _OFTEN else 2), "ms": rng.randint(50, 3_000)}


def _jump(rng: Random) -> tuple[str, dict[str, Word]]:
    return "jump", {"instrument": rng.randrange(3), "bps": rng.choice((-1, 1)) * rng.randint(20, 300)}


def _flow(rng: Random) -> tuple[str, dict[str, Word]]:
    return rng.choice(("deposit", "withdraw")), {"amount": rng.randint(1, 2_000)}


def _act(kind: str) -> Draw:
    return lambda rng: (kind, {"instrument": rng.randrange(3)} if kind in ("foreign_order", "guard_order", "foreign_trade") else {})


ORDERS: Final[tuple[Draw, ...]] = (
    _count("lose_request"), _count("drop_reply"), _count("hang_reply"), _count("timeout_after"), _late("delay_request", CREATE, 100, 2_500),
    _late("delay_reply", CREATE, 100, 2_000), _reject(CREATE), _refuse_later,
)  # fmt: skip
CANCELS: Final[tuple[Draw, ...]] = (
    _count("lose_request", CANCEL), _count("drop_reply", CANCEL), _count("hang_reply", CANCEL), _count("timeout_after", CANCEL),
    _late("delay_request", CANCEL, 100, 1_500), _late("delay_reply", CANCEL, 100, 1_400), _reject(CANCEL),
)  # fmt: skip
AMENDS: Final[tuple[Draw, ...]] = (
    _count("lose_request", AMEND), _count("drop_reply", AMEND), _count("hang_reply", AMEND), _count("timeout_after", AMEND),
    _late("delay_request", AMEND, 100, 1_500), _late("delay_reply", AMEND, 100, 1_400), _reject(AMEND),
    lambda rng: ("ignore_amends", {"count": rng.randint(1, 3)}),
)  # fmt: skip
STREAMS: Final[tuple[Draw, ...]] = (
    _private("lose_private"), _private("duplicate_private"), _private("duplicate_execution"), _private("reorder_private"),
    _span("delay_private", 100, 3_000), _span("lose_trades", 1_000, 4_000), _cut, _span("public_cut", 500, 6_000),
)  # fmt: skip
VENUE: Final[tuple[Draw, ...]] = (
    _span("ban", 500, 5_000), _span("maintenance", 500, 5_000), _span("deaf", 200, 4_000), _slow_lists, _skew,
    _span("stale_book", 500, 5_000), _span("crossed_book", 500, 5_000), _span("no_permits", 1_000, 6_000),
)  # fmt: skip
STOPS: Final[tuple[Draw, ...]] = (
    _count("lose_request", STOP), _count("drop_reply", STOP), _count("hang_reply", STOP), _late("delay_reply", STOP, 100, 1_400),
    _reject(STOP), _count("timeout_after", STOP), _lasting("lose_request", STOP), _lasting("reject", STOP),
)  # fmt: skip
WISHES: Final[tuple[Draw, ...]] = (_flow, _flow, _jump)
COMMANDS: Final[tuple[Draw, ...]] = (_act("halt"), _act("flatten"), _act("cancel_all"))

Combination = Callable[[Random, int], list[Action]]
"""Troubles that only together lead into a rare corner, from one moment on."""


def _create(kind: str, for_ms: int, **more: Word) -> tuple[str, dict[str, Word]]:
    return kind, {"for_ms": for_ms, "path": CREATE, **more}


def _together(*parts: Callable[[Random], tuple[str, dict[str, Word]]]) -> Combination:
    return lambda rng, at_ms: [Action(at_ms + n, *part(rng)) for n, part in enumerate(parts)]


_SPELL = 12_000
_SLOW = _together(
    lambda rng: _create("delay_reply", _SPELL, ms=rng.randint(900, 1_420)), lambda rng: ("lose_first", {"count": rng.randint(4, 10)}),
    lambda rng: ("late_executions", {"ms": _SPELL, "late_ms": rng.randint(300, 1_600)}),
)  # fmt: skip
_SLOW_AND_GONE = _together(
    lambda rng: _create("delay_reply", _SPELL, ms=rng.randint(1_000, 1_420)), lambda rng: ("lose_first", {"count": rng.randint(4, 10)}),
    lambda rng: ("cancel_there", {}),
)  # fmt: skip
_DARK = _together(
    lambda rng: _create(rng.choice(("drop_reply", "hang_reply")), 9_000), lambda rng: ("lose_first", {"count": rng.randint(4, 10)}),
    lambda rng: ("deaf", {"ms": rng.randint(4_000, 9_000)}),
)  # fmt: skip
_CHASED_IN_THE_DARK = _together(
    lambda rng: _create(rng.choice(("drop_reply", "hang_reply")), 9_000), lambda rng: ("lose_first", {"count": rng.randint(6, 12)}),
    lambda rng: ("deaf", {"ms": rng.randint(5_000, 9_000)}), lambda rng: ("drop_reply", {"for_ms": 9_000, "path": AMEND}),
)  # fmt: skip
_NIBBLED = _together(
    lambda rng: _create("delay_reply", _SPELL, ms=rng.randint(1_000, 1_420)), lambda rng: ("lose_first", {"count": rng.randint(6, 12)}),
    lambda rng: ("nibble", {"count": 40, "ms": 300}),
)  # fmt: skip
_UNTOLD = _together(
    lambda rng: ("lose_trades", {"ms": rng.randint(6_000, 12_000)}), lambda rng: ("nibble", {"count": 30, "ms": 300}),
)  # fmt: skip
_REFUSED_EARLY = _together(
    lambda rng: ("refuse_later", {"count": 3, "ms": rng.choice((1, 15, 60, 300)), "shown": rng.randint(0, 1)}),
    lambda rng: _create("delay_reply", _SPELL, ms=rng.randint(400, 1_420)),
)  # fmt: skip
_REFUSED_TWICE = _together(
    lambda rng: ("refuse_later", {"count": 3, "ms": rng.choice((60, 400, 1_500)), "shown": 1}),
    lambda rng: ("duplicate_private", {"for_ms": 10_000}),
)  # fmt: skip
_REFUSED_UNSEEN = _together(
    lambda rng: ("refuse_later", {"count": 3, "ms": rng.randint(1_600, 4_000), "shown": 0}), lambda rng: _create("hang_reply", 6_000),
    lambda rng: ("deaf", {"ms": rng.randint(4_000, 8_000)}),
)  # fmt: skip
_REFUSED_WHILE_MOVED = _together(
    lambda rng: ("refuse_later", {"count": 4, "ms": rng.randint(600, 2_000), "shown": 1}),
    lambda rng: ("delay_request", {"for_ms": _SPELL, "path": AMEND, "ms": rng.randint(300, 900)}),
)  # fmt: skip
_CHANGES_UNSEEN = _together(
    lambda rng: ("late_orders", {"ms": _SPELL, "late_ms": rng.randint(400, 2_500)}),
    lambda rng: ("drop_reply", {"for_ms": _SPELL, "path": AMEND, "rate_bps": 6_000}),
    lambda rng: ("drop_reply", {"for_ms": _SPELL, "path": CANCEL, "rate_bps": 6_000}),
)  # fmt: skip
_NEVER_THERE = _together(
    lambda rng: _create("lose_request", 5_000), lambda rng: ("hang_reply", {"for_ms": 10_000, "path": CANCEL}),
)  # fmt: skip
_TWICE = _together(
    lambda rng: ("duplicate_private", {"for_ms": 8_000}), lambda rng: _create("delay_reply", 8_000, ms=rng.randint(300, 1_400)),
)  # fmt: skip
COMBINATIONS: Final[Mapping[str, tuple[Combination, ...]]] = {
    "triggers": (_SLOW, _SLOW, _SLOW_AND_GONE, _DARK, _TWICE),
    "races": (_NIBBLED, _NIBBLED, _CHASED_IN_THE_DARK, _CHANGES_UNSEEN),
    "amends": (_CHANGES_UNSEEN, _REFUSED_WHILE_MOVED),
    "cancels": (_NEVER_THERE, _CHANGES_UNSEEN, _UNTOLD),
    "refused": (_REFUSED_EARLY, _REFUSED_TWICE, _REFUSED_UNSEEN),
    "streams": (_SLOW, _TWICE, _UNTOLD),
}
"""What days of these themes have beside their single troubles."""

THEMES: Final[Mapping[str, tuple[tuple[Draw, ...], ...]]] = {
    "mixed": (ORDERS, STREAMS, VENUE, CANCELS, AMENDS, STOPS),
    "orders": (ORDERS, ORDERS, ORDERS, STREAMS),
    "cancels": (CANCELS, CANCELS, STREAMS, ORDERS),
    "amends": (AMENDS, AMENDS, AMENDS, STREAMS, CANCELS),
    "streams": (STREAMS, STREAMS, ORDERS),
    "venue": (VENUE, VENUE, ORDERS, STREAMS),
    "restarts": (ORDERS, STREAMS, (_kill,), (_kill,), VENUE),
    "stops": (STOPS, STOPS, ORDERS, STREAMS, (_act("stop_removed"),)),
    "commands": (ORDERS, STREAMS, CANCELS, COMMANDS),
    "strangers": (ORDERS, STREAMS, (_act("foreign_order"), _act("guard_order"), _act("foreign_trade"))),
    "crashes": (ORDERS, STREAMS, (_act("deleverage"),), (_jump,)),
    "late": ((_late("delay_request", CREATE, 300, 990), _late("delay_reply", CREATE, 300, 1_400)), CANCELS, AMENDS, STREAMS),
    "triggers": (
        (_late("delay_reply", CREATE, 300, 1_450), _late("delay_reply", CREATE, 300, 1_450), _count("hang_reply"), _count("timeout_after")),
        (_spell_of_slow_answers,),
        (_spell_of_lost_rows, _private("duplicate_private"), _private("reorder_private"), _span("delay_private", 100, 900)),
        (_refuse_later, _act("cancel_there")),
        CANCELS,
    ),
    "races": (
        (_late("delay_reply", CREATE, 700, 1_450),),
        (_spell_of_slow_answers,),
        (_spell_of_lost_rows, _private("reorder_private")),
        AMENDS,
        (_act("cancel_there"), _private("duplicate_private")),
    ),
    "ghosts": (ORDERS, STREAMS, VENUE),
    "adopted": (ORDERS, STREAMS, (_act("foreign_order"), _act("foreign_trade"), _act("foreign_trade"))),
    "liquidations": (ORDERS, STREAMS),
    "losses": (ORDERS, STREAMS),
    "refused": ((_refuse_later,), (_refuse_later,), AMENDS, CANCELS, STREAMS),
}
"""Pools that a day's faults are drawn from, one after the other."""

_FITTING: Final = {
    "cancels": ("limit", "twap+rest", "chase", "stop_entry"),
    "amends": ("chase", "chase+exits", "chase+stop"),
    "triggers": ("stop_entry",),
    "races": ("chase", "chase+exits"),
    "refused": ("stop_entry", "stop_entry", "chase", "limit", "market"),
}
_HALTING: Final = frozenset({"halt", "flatten", "foreign_order", "guard_order", "foreign_trade", "deleverage"})


def script_of(seed: int) -> Script:
    """The day of a seed."""
    rng = Random(f"script {seed}")
    theme = tuple(THEMES)[seed % len(THEMES)]
    style = rng.choice(_FITTING.get(theme) or STYLES)
    stop_bps = 0 if theme == "liquidations" else rng.choice((0, 300, 1_000, 1_000, 2_000))
    useless = {AMEND} if "chase" not in style else set()
    useless |= set() if stop_bps else {STOP}
    pools = THEMES[theme]
    actions: list[Action] = []
    for n in range(rng.randint(8, 16)):
        _add(actions, rng, rng.choice(pools[n % len(pools)]), useless)
    combinations = COMBINATIONS.get(theme, ())
    for at_ms in range(8_000, (SECONDS - 16) * 1_000, 22_000) if combinations else ():
        actions += rng.choice(combinations)(rng, at_ms + rng.randint(0, 8_000))
    for _ in range(rng.randint(1, 4)):
        _add(actions, rng, rng.choice(WISHES))
    if rng.randrange(3) == 0:
        _add(actions, rng, _span("no_permits", 3_000, 8_000))
    if theme == "liquidations":
        dry = {"bps": rng.randint(9_500, 9_990), "squeeze_bps": rng.randint(1_500, 3_500)}
        actions.append(Action(rng.randint(62_000, 78_000), "drain", dry))
    if theme == "losses":
        jumps = [Action(at_ms, "squeeze", {"bps": rng.randint(400, 1_400)}) for at_ms in (63_000, 74_000)]
        actions += [msgspec.structs.replace(jump, at_ms=jump.at_ms + rng.randint(0, 8_000)) for jump in jumps]
    if theme == "crashes":
        actions.append(Action(rng.randint(64_000, 80_000), "squeeze", {"bps": rng.randint(1_000, 1_900)}))
        _add(actions, rng, lambda r: ("jump", {"instrument": r.randrange(3), "bps": r.choice((-1, 1)) * r.randint(900, 1_400)}))
    if theme == "ghosts":
        actions.append(Action(rng.randint(60_000, 84_000), "ghost_money", {"amount_e8": rng.choice((-1, 1)) * rng.randint(1, 9_000_000)}))
    for _ in range(rng.randint(1, 2)):
        actions.append(Action(rng.randint(8_000, (SECONDS - 15) * 1_000), "crash", {"ms": rng.randint(50, 3_000)}))
    halts = [action.at_ms for action in actions if action.what in _HALTING]
    actions += [Action(at_ms + rng.randint(2_000, 12_000), "resume") for at_ms in halts]
    actions += [Action(at_ms, "resume") for at_ms in range(20_000, SECONDS * 1_000, 10_000)] if theme != "commands" else []
    actions += _crowds(Random(f"crowd {seed}"))
    return Script(
        seed=seed, theme=theme, style=style, seconds=SECONDS, latency_ms=rng.choice((2, 8, 20, 60, 150)),
        volatility_bps=25 if theme in ("triggers", "races") else rng.choice((3, 6, 12, 25)),
        stop_bps=stop_bps, foreign="adopt" if theme == "adopted" else "refuse", brake="drawdown" if theme == "losses" else "day",
        actions=tuple(sorted(actions, key=lambda action: action.at_ms)),
    )  # fmt: skip


def _crowds(rng: Random) -> list[Action]:
    """On two days of five: the client's own limits are full, permits run out and people halt meanwhile, a stream breaks twice in a row."""
    if rng.random() < 0.6:
        return []
    found: list[Action] = []
    for _ in range(2):
        at_ms = rng.randint(6_000, (SECONDS - 25) * 1_000)
        found.append(Action(at_ms, "no_room", {"ms": rng.randint(4_000, 12_000), "wait_ms": rng.randint(100, 2_500)}))
        found.append(Action(at_ms + rng.randint(500, 3_000), "no_permits", {"ms": rng.randint(2_000, 5_000)}))
        halt_ms = at_ms + rng.randint(1_000, 12_000)
        found += [Action(halt_ms, "halt"), Action(halt_ms + rng.randint(2_000, 5_000), "resume")]
    for _ in range(3):
        at_ms, away_ms = rng.randint(6_000, (SECONDS - 25) * 1_000), rng.randint(100, 900)
        found.append(Action(at_ms, "private_cut", {"ms": away_ms, "late_ms": 0}))
        found.append(Action(at_ms + away_ms + rng.randint(2, 500), "private_cut", {"ms": rng.randint(5, 60), "late_ms": 0}))
    return found


def _add(actions: list[Action], rng: Random, draw: Draw, useless: Collection[Word] = ()) -> None:
    """What strikes nothing on this day is said of orders instead."""
    what, args = draw(rng)
    if args.get("path") in useless:
        args["path"] = CREATE
    actions.append(Action(rng.randint(4_000, (SECONDS - 12) * 1_000), what, args))
