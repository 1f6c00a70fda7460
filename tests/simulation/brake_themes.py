"""Days of the brake: what makes it come on, who engages it, what happens to the guard meanwhile, and who lets it go."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from tests.simulation.guard_limits import GUARDS, WATCH
from tests.simulation.releases import FORGED
from tests.simulation.script import Action, Word

BRAKE_THEMES: Final = ("brake", "brake_person", "guard_dies", "thin")
CREATE, CANCEL, CANCEL_ALL, STOP = "/v5/order/create", "/v5/order/cancel", "/v5/order/cancel-all", "/v5/position/trading-stop"
LEVELS: Final = ("reduce_only", "halt", "flatten", "flatten")
POINTS: Final = (
    "before_latch", "after_latch", "before_latched", "after_latched", "after_slice_sent", "before_slice_sent", "after_slice_answered",
    "after_place", "after_cancel_all", "before_cancels_sent", "after_flat", "before_released", "after_released", "after_baseline",
    "after_breached", "after_permits_stopped", "after_guard_started", "after_waiting", "after_paged",
)  # fmt: skip
TRIGGERS: Final = tuple(name for name in GUARDS if name != WATCH)
Acts = list[Action]


def brake_day(theme: str, seed: int) -> tuple[str, str, Acts]:
    """Of a day of one of these themes: what its guard brakes on, who releases, and what happens beside its other troubles."""
    rng = Random(f"brake {seed}")
    guard = WATCH
    if theme == "brake":
        guard = rng.choice(TRIGGERS)
    elif theme == "guard_dies" or rng.randrange(3) == 0:
        guard = rng.choice(("drawdown", "drawdown", "daily_loss", WATCH))
    people = "solo" if rng.randrange(6) == 0 else "two"
    actions: Acts = []
    for at_ms in _moments(rng, guard):
        actions += _spell(theme, guard, people, rng, at_ms)
    actions += _line(rng)
    for at_ms in (rng.randint(26_000, 40_000), rng.randint(57_000, 63_000)) if guard in ("drawdown", "daily_loss") else ():
        actions.append(Action(at_ms, rng.choice(("withdraw", "withdraw", "deposit")), {"amount": rng.randint(400, 2_500)}))
    return guard, people, actions


def _moments(rng: Random, guard: str) -> list[int]:
    """When it begins: early and again, or late where the loss of the day keeps the brake on."""
    if guard == "daily_loss":
        return [rng.randint(64_000, 76_000)]
    return [rng.randint(9_000, 24_000), rng.randint(42_000, 56_000), *([rng.randint(66_000, 76_000)] if rng.randrange(2) else [])]


def _spell(theme: str, guard: str, people: str, rng: Random, at_ms: int) -> Acts:
    """One braking, from what causes it to the release and the word of a person to go on."""
    found = _cause(theme, guard, rng, at_ms)
    if theme == "guard_dies" or rng.randrange(5) == 0:
        found += _death(rng, at_ms)
    if theme == "thin" or rng.randrange(5) == 0:
        found += _thin(rng, at_ms)
    if rng.randrange(3) == 0:
        found += _cancels_lost(rng, at_ms)
    if rng.randrange(3) == 0:
        found.append(Action(at_ms + rng.randint(200, 7_000), "engage", {"level": rng.choice(LEVELS)}))
    for _ in range(rng.randint(0, 3)):
        found.append(Action(at_ms + rng.randint(3_000, 14_000), "release", {"kind": rng.choice(FORGED), "high_water": "reset"}))
    end_ms = at_ms + rng.randint(7_000, 12_000)
    good = "solo" if people == "solo" else "good"
    for n in range(3):
        kept = "keep" if rng.randrange(5) == 0 else "reset"
        found.append(Action(end_ms + n * 2_500, "release", {"kind": good, "high_water": kept}))
        found.append(Action(end_ms + n * 2_500 + rng.randint(600, 2_000), "resume"))
    return found


def _cause(theme: str, guard: str, rng: Random, at_ms: int) -> Acts:
    if theme == "brake":
        made = _CAUSES.get(guard)
        return [] if made is None else made(rng, at_ms)
    if guard in ("drawdown", "daily_loss") and rng.randrange(3):
        return _loss(rng, at_ms)
    if theme != "brake_person":
        return [Action(at_ms, "engage", {"level": rng.choice(("flatten", "flatten", "flatten", "halt"))})]
    if rng.randrange(6) == 0:
        return [Action(at_ms, "report", {"trigger": rng.choice(("journal", "model"))})]
    return [Action(at_ms, "engage", {"level": rng.choice(LEVELS)})]


def _loss(rng: Random, at_ms: int) -> Acts:
    first = Action(at_ms, "loss", {"bps": rng.randint(160, 420)})
    return [first, Action(at_ms + rng.randint(300, 4_000), "loss", {"bps": rng.randint(60, 300)})] if rng.randrange(2) else [first]


def _jumps(rng: Random, at_ms: int) -> Acts:
    """Prices rise by a third: what is held becomes more, and limits of size are passed."""
    return [Action(at_ms + n, "jump", {"instrument": n, "bps": rng.randint(1_500, 3_500)}) for n in range(3)]


def _rises(rng: Random, at_ms: int) -> Acts:
    """Prices rise again and again: whichever position is short at one of these moments comes nearer to its liquidation."""
    found: Acts = []
    for wave in range(3):
        found += [Action(at_ms + 2_500 * wave + n, "jump", {"instrument": n, "bps": rng.randint(700, 1_500)}) for n in range(3)]
    return found


def _heart(rng: Random, at_ms: int) -> Acts:
    return [Action(at_ms, "crash", {"ms": rng.randint(3_000, 7_500)})]


def _ghost(rng: Random, at_ms: int) -> Acts:
    return [Action(at_ms, "ghost_money", {"amount_e8": rng.choice((-1, 1)) * rng.randint(1_000, 9_000_000)})]


def _bare(rng: Random, at_ms: int) -> Acts:
    return [Action(at_ms, rng.choice(("lose_request", "reject")), {"for_ms": 12_000, "path": STOP}), Action(at_ms + 2_000, "stop_removed")]


def _refused(rng: Random, at_ms: int) -> Acts:
    return [Action(at_ms, "reject", {"count": rng.randint(4, 9), "path": CREATE, "code": rng.choice((110007, 110094))})]


def _clocks(rng: Random, at_ms: int) -> Acts:
    off_ms = rng.choice((-1, 1)) * rng.randint(600, 1_500)
    if rng.randrange(2):
        return [Action(at_ms, "guard_clock", {"ms": rng.randint(3_000, 6_000), "off_ms": off_ms})]
    return [Action(at_ms, "clock_skew", {"ms": off_ms, "for_ms": rng.randint(3_000, 6_000)})]


def _away(rng: Random, at_ms: int) -> Acts:
    return [Action(at_ms, rng.choice(("deaf", "guard_deaf", "maintenance")), {"ms": rng.randint(3_500, 7_000)})]


_CAUSES: Final[dict[str, Callable[[Random, int], Acts]]] = {
    "drawdown": _loss, "daily_loss": _loss, "var99": _jumps, "margin_ratio": _jumps, "liquidation_distance": _rises,
    "gross_leverage": _jumps, "position_notional": _jumps, "heartbeat": _heart, "books_differ": _ghost, "stop_missing": _bare,
    "rejects": _refused, "clock": _clocks, "stale_data": _away,
}  # fmt: skip


def _death(rng: Random, at_ms: int) -> Acts:
    """The guard dies, stands still, or its disk fails, around the braking."""
    found: Acts = []
    for _ in range(rng.randint(1, 3)):
        near_ms = max(4_000, at_ms + rng.randint(-1_500, 6_000))
        what = rng.choice(
            ("guard_crash", "guard_kill", "guard_kill", "guard_kill", "guard_freeze", "latch_torn", "latch_full", "guard_journal_full")
        )
        args: dict[str, Word] = {"ms": rng.randint(100, 4_000)}
        if what == "guard_kill":
            near_ms = max(4_000, at_ms - rng.randint(0, 1_500))
            args |= {"point": rng.choice(POINTS), "count": rng.randint(1, 3)}
        elif what == "latch_torn":
            args = {"keep": rng.randint(0, 300)}
            found.append(Action(near_ms + 1, "guard_crash", {"ms": rng.randint(100, 1_000)}))
        found.append(Action(near_ms, what, args))
    return found


def _thin(rng: Random, at_ms: int) -> Acts:
    """Books are thin or empty, prices run away, slices get lost."""
    found = [Action(at_ms + rng.randint(-500, 1_500), "guard_no_book", {"ms": rng.randint(500, 5_000)})] if rng.randrange(2) else []
    found.append(Action(max(4_000, at_ms - 200), "thin", {"ms": rng.randint(2_000, 12_000), "bps": rng.choice((0, 0, 100, 1_000, 3_000))}))
    for _ in range(rng.randint(0, 3)):
        found.append(
            Action(
                at_ms + rng.randint(200, 6_000),
                "jump",
                {"instrument": rng.randrange(3), "bps": rng.choice((-1, 1)) * rng.randint(100, 900)},
            )
        )
    for _ in range(rng.randint(0, 2)):
        kind = rng.choice(("lose_request", "drop_reply", "hang_reply", "timeout_after", "delay_reply", "delay_request", "reject"))
        args: dict[str, Word] = {"for_ms": rng.randint(1_000, 6_000), "path": CREATE}
        args |= {"ms": rng.randint(200, 1_400)} if kind.startswith("delay") else {}
        args |= {"code": rng.choice((110007, 10006))} if kind == "reject" else {}
        found.append(Action(at_ms + rng.randint(-200, 2_000), kind, args))
    return found


def _cancels_lost(rng: Random, at_ms: int) -> Acts:
    kind = rng.choice(("lose_request", "drop_reply", "hang_reply", "delay_request", "reject"))
    args: dict[str, Word] = {"for_ms": rng.randint(500, 4_000), "path": rng.choice((CANCEL_ALL, CANCEL_ALL, CANCEL))}
    args |= {"ms": rng.randint(200, 900)} if kind == "delay_request" else {}
    args |= {"code": 10006} if kind == "reject" else {}
    return [Action(max(4_000, at_ms - 300), kind, args)]


def _line(rng: Random) -> Acts:
    """The line between trader and guard has its own troubles."""
    found: Acts = []
    for _ in range(rng.randint(1, 4)):
        what = rng.choice(("permit_lost", "permit_late", "permit_late", "permit_repeat", "permit_forged"))
        found.append(Action(rng.randint(5_000, 80_000), what, {"ms": rng.randint(1_500, 8_000)}))
    return found
