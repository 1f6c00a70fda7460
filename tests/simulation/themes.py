"""Scripts from seeds. Every day has its share of everything; its theme says of what it has more, so that rare corners are reached often."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from random import Random
from typing import Final

import msgspec
from tests.simulation.brake_themes import BRAKE_THEMES, brake_day
from tests.simulation.draws import (
    AMEND,
    AMENDS,
    CANCELS,
    CHANGES_UNSEEN,
    CHASED_IN_THE_DARK,
    COMMANDS,
    CREATE,
    DARK,
    NEVER_THERE,
    NIBBLED,
    ORDERS,
    REFUSED_EARLY,
    REFUSED_TWICE,
    REFUSED_UNSEEN,
    REFUSED_WHILE_MOVED,
    SLOW,
    SLOW_AND_GONE,
    STOP,
    STOPS,
    STREAMS,
    TWICE,
    UNTOLD,
    VENUE,
    WISHES,
    Combination,
    Draw,
    act,
    count,
    jump,
    kill,
    late,
    private,
    refuse_later,
    span,
    spell_of_lost_rows,
    spell_of_slow_answers,
)
from tests.simulation.script import Action, Script, Word

STYLES: Final = (
    "market", "limit", "chase", "chase+exits", "chase+stop", "twap", "twap+rest", "participation", "participation+rest", "stop_entry",
)  # fmt: skip
SECONDS: Final = 90
COMBINATIONS: Final[Mapping[str, tuple[Combination, ...]]] = {
    "triggers": (SLOW, SLOW, SLOW_AND_GONE, DARK, TWICE),
    "races": (NIBBLED, NIBBLED, CHASED_IN_THE_DARK, CHANGES_UNSEEN),
    "amends": (CHANGES_UNSEEN, REFUSED_WHILE_MOVED),
    "cancels": (NEVER_THERE, CHANGES_UNSEEN, UNTOLD),
    "refused": (REFUSED_EARLY, REFUSED_TWICE, REFUSED_UNSEEN),
    "streams": (SLOW, TWICE, UNTOLD),
}
"""What days of these themes have beside their single troubles."""

THEMES: Final[Mapping[str, tuple[tuple[Draw, ...], ...]]] = {
    "mixed": (ORDERS, STREAMS, VENUE, CANCELS, AMENDS, STOPS),
    "orders": (ORDERS, ORDERS, ORDERS, STREAMS),
    "cancels": (CANCELS, CANCELS, STREAMS, ORDERS),
    "amends": (AMENDS, AMENDS, AMENDS, STREAMS, CANCELS),
    "streams": (STREAMS, STREAMS, ORDERS),
    "venue": (VENUE, VENUE, ORDERS, STREAMS),
    "restarts": (ORDERS, STREAMS, (kill,), (kill,), VENUE),
    "stops": (STOPS, STOPS, ORDERS, STREAMS, (act("stop_removed"),)),
    "commands": (ORDERS, STREAMS, CANCELS, COMMANDS),
    "strangers": (ORDERS, STREAMS, (act("foreign_order"), act("guard_order"), act("foreign_trade"))),
    "crashes": (ORDERS, STREAMS, (act("deleverage"),), (jump,)),
    "late": ((late("delay_request", CREATE, 300, 990), late("delay_reply", CREATE, 300, 1_400)), CANCELS, AMENDS, STREAMS),
    "triggers": (
        (late("delay_reply", CREATE, 300, 1_450), late("delay_reply", CREATE, 300, 1_450), count("hang_reply"), count("timeout_after")),
        (spell_of_slow_answers,),
        (spell_of_lost_rows, private("duplicate_private"), private("reorder_private"), span("delay_private", 100, 900)),
        (refuse_later, act("cancel_there")),
        CANCELS,
    ),
    "races": (
        (late("delay_reply", CREATE, 700, 1_450),),
        (spell_of_slow_answers,),
        (spell_of_lost_rows, private("reorder_private")),
        AMENDS,
        (act("cancel_there"), private("duplicate_private")),
    ),
    "ghosts": (ORDERS, STREAMS, VENUE),
    "adopted": (ORDERS, STREAMS, (act("foreign_order"), act("foreign_trade"), act("foreign_trade"))),
    "liquidations": (ORDERS, STREAMS),
    "losses": (ORDERS, STREAMS),
    "refused": ((refuse_later,), (refuse_later,), AMENDS, CANCELS, STREAMS),
    "brake": (ORDERS, STREAMS, CANCELS),
    "brake_person": (ORDERS, STREAMS, VENUE, CANCELS, AMENDS),
    "guard_dies": (ORDERS, STREAMS, VENUE),
    "thin": (ORDERS, STREAMS),
}
"""Pools that a day's faults are drawn from, one after the other."""

TURNS: Final = (*THEMES, "brake", "brake_person", "guard_dies")
"""The theme of a day, by its seed: one day in four is about the brake."""

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
    theme = TURNS[seed % len(TURNS)]
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
        _add(actions, rng, span("no_permits", 3_000, 8_000))
    if theme == "liquidations":
        dry = {"bps": rng.randint(9_500, 9_990), "squeeze_bps": rng.randint(1_500, 3_500)}
        actions.append(Action(rng.randint(62_000, 78_000), "drain", dry))
    if theme == "losses":
        jumps = [Action(at_ms, "squeeze", {"bps": rng.randint(600, 2_600)}) for at_ms in (63_000, 74_000)]
        actions += [msgspec.structs.replace(jump, at_ms=jump.at_ms + rng.randint(0, 8_000)) for jump in jumps]
    if theme == "crashes":
        actions.append(Action(rng.randint(64_000, 80_000), "squeeze", {"bps": rng.randint(1_200, 3_200)}))
        _add(actions, rng, lambda r: ("jump", {"instrument": r.randrange(3), "bps": r.choice((-1, 1)) * r.randint(900, 1_400)}))
    if theme == "ghosts":
        actions.append(Action(rng.randint(60_000, 84_000), "ghost_money", {"amount_e8": rng.choice((-1, 1)) * rng.randint(1, 9_000_000)}))
    for _ in range(rng.randint(1, 2)):
        actions.append(Action(rng.randint(8_000, (SECONDS - 15) * 1_000), "crash", {"ms": rng.randint(50, 3_000)}))
    halts = [action.at_ms for action in actions if action.what in _HALTING]
    actions += [Action(at_ms + rng.randint(2_000, 12_000), "resume") for at_ms in halts]
    actions += [Action(at_ms, "resume") for at_ms in range(20_000, SECONDS * 1_000, 10_000)] if theme != "commands" else []
    actions += _crowds(Random(f"crowd {seed}"))
    guard, people = "watch", "two"
    if theme in BRAKE_THEMES:
        guard, people, more = brake_day(theme, seed)
        actions += more
    return Script(
        seed=seed, theme=theme, style=style, seconds=SECONDS, latency_ms=rng.choice((2, 8, 20, 60, 150)),
        volatility_bps=25 if theme in ("triggers", "races") else rng.choice((3, 6, 12, 25)),
        stop_bps=stop_bps, foreign="adopt" if theme == "adopted" else "refuse", brake=_brake(theme),
        guard=guard, people=people,
        actions=tuple(sorted(actions, key=lambda action: action.at_ms)),
    )  # fmt: skip


def _brake(theme: str) -> str:
    """Which loss stops the trader itself first: on days of the brake the guard comes before it."""
    if theme in BRAKE_THEMES:
        return "far"
    return "drawdown" if theme == "losses" else "day"


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
