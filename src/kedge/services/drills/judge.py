"""From what was seen to what a drill showed. Pure.

Rules that no fault excuses: after the latch a position never grows beyond what was sent before it and never changes its sign, the guard's
orders are limited, immediate and reduce-only, none trades beyond its collar, and the drill ends flat, or halted with somebody called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from kedge.domain.brake import SEVERITY, BrakeLevel
from kedge.domain.orders import GUARD_PREFIX
from kedge.domain.units import NS_PER_MS
from kedge.services.drills.report import FLAT, HALTED, OPEN, VENUE_STOP, Times
from kedge.services.drills.watch import Sample

Row = Mapping[str, Any]
BPS: Final = Decimal(10_000)
ROUNDING_BPS: Final = Decimal(1)
"""A limit lies on the grid, and the mark of a fill may have moved by a price since the slice left."""


class Seen(NamedTuple):
    """What the independent reader has, as plain data. Times are monotonic nanoseconds of one process.

    Attributes
    ----------
    breach_ns : int or None
        When a price took equity beyond the limit; where prices alone do not tell, when the guard says that it breached.
    flatten_ns : int or None
        When the breach came that called for a flattening, where that was a later one.
    last_fill_ns : int or None
        When the venue's last fill was: positions are not zero before it, even where no sample fell between two fills.
    held : mapping
        Signed size by symbol at the latch, by the venue's fills.
    late : mapping
        Signed size by symbol that was sent before the latch, or by a second trader, and may be accepted after it.
    """

    samples: Sequence[Sample]
    levels: Sequence[tuple[int, BrakeLevel, str]]
    breach_ns: int | None
    blocked_ns: int | None
    flatten_ns: int | None = None
    last_fill_ns: int | None = None
    held: Mapping[str, Decimal] = {}
    late: Mapping[str, Decimal] = {}


def since(start_ns: int | None, at_ns: int | None) -> int | None:
    """Milliseconds between two moments, rounded up; None where one is unknown."""
    return None if start_ns is None or at_ns is None else -(-(at_ns - start_ns) // NS_PER_MS)


def seen_times(seen: Seen) -> Times:
    """Durations as the reader saw them: latch and block since the first breach, the rest since the one that called for a flattening."""
    start = seen.breach_ns
    later = start if seen.flatten_ns is None else seen.flatten_ns
    return Times(
        latched_ms=_after(since(start, level_ns(seen.levels, BrakeLevel.REDUCE_ONLY))),
        blocked_ms=_after(since(start, seen.blocked_ns)),
        orders_zero_ms=_after(since(later, _zero_ns(seen.samples, lambda sample: not sample.orders))),
        positions_zero_ms=_after(since(later, _positions_zero_ns(seen))),
        flat_ms=since(later, level_ns(seen.levels, BrakeLevel.HALTED_FLAT)),
    )


def _after(span_ms: int | None) -> int | None:
    """What was zero already at the breach took no time."""
    return None if span_ms is None else max(0, span_ms)


def level_ns(levels: Sequence[tuple[int, BrakeLevel, str]], least: BrakeLevel) -> int | None:
    """When the latch first said at least this level."""
    return next((at for at, level, _ in levels if SEVERITY[level] >= SEVERITY[least]), None)


def _positions_zero_ns(seen: Seen) -> int | None:
    zero_ns = _zero_ns(seen.samples, lambda sample: not sample.positions)
    return zero_ns if zero_ns is None or seen.last_fill_ns is None else max(zero_ns, seen.last_fill_ns)


def _zero_ns(samples: Sequence[Sample], is_zero: Any) -> int | None:
    """Since when something has been zero without interruption; None where it is not, or nothing was seen."""
    found = None
    for sample in reversed(samples):
        if not is_zero(sample):
            break
        found = sample.mono_ns
    return found


def outcome_of(samples: Sequence[Sample], level: BrakeLevel | None, pages: Sequence[str], *, guarded: bool = True) -> str:
    """How it ended: flat only where the venue is flat and the guard says so; closed by the venue's stop where nobody of ours lived."""
    if not samples:
        return OPEN
    last = samples[-1]
    if not last.positions and not last.orders and not last.stops and level is BrakeLevel.HALTED_FLAT:
        return FLAT
    if not guarded and not last.positions:
        return VENUE_STOP
    stopped = level is not None and SEVERITY[level] >= SEVERITY[BrakeLevel.HALTED]
    return HALTED if stopped and pages else OPEN


def grown_or_turned(seen: Seen) -> list[str]:
    """Positions that grew or changed their sign after the latch, in words."""
    latched = level_ns(seen.levels, BrakeLevel.HALTED)
    if latched is None:
        return []
    before = [sample for sample in seen.samples if sample.mono_ns <= latched]
    held = {**(before[-1].positions if before else {}), **seen.held}
    found = []
    for sample in seen.samples:
        if sample.mono_ns <= latched:
            continue
        for symbol, size in sample.positions.items():
            was = held.get(symbol, Decimal(0)) + seen.late.get(symbol, Decimal(0))
            if size * was < 0:
                found.append(f"{symbol} was {was} at the latch and {size} after it: reversed")
            elif abs(size) > abs(was):
                found.append(f"{symbol} was {was} at the latch and {size} after it: grown")
    return sorted(set(found))


def orders_as_promised(orders: Sequence[Row]) -> list[str]:
    """Orders of the guard that are not what its orders must be."""
    found = []
    for row in orders:
        if not str(row["orderLinkId"]).startswith(GUARD_PREFIX):
            continue
        if not row["reduceOnly"]:
            found.append(f"{row['orderLinkId']} of {row['symbol']} is not reduce-only")
        if row["orderType"] != "Limit" or row["timeInForce"] != "IOC":
            found.append(f"{row['orderLinkId']} of {row['symbol']} is {row['orderType']} {row['timeInForce']}, not an immediate limit")
    ids = [row["orderLinkId"] for row in orders if str(row["orderLinkId"]).startswith(GUARD_PREFIX)]
    return found + [f"{name} is there twice" for name in sorted({name for name in ids if ids.count(name) > 1})]


class Slip(NamedTuple):
    """The worst fill of a closing against the mark, and the widest collar of what was closed, in bps."""

    worst_bps: int | None
    collar_bps: int | None
    found: tuple[str, ...]


def slippage(fills: Sequence[Row], sent: Sequence[Row], collars: Mapping[str, int]) -> Slip:
    """How far from the mark the guard's orders traded.

    Parameters
    ----------
    fills : sequence
        Executions of the venue.
    sent : sequence
        The guard's own records of its slices, with the mark each was sent at.
    collars : mapping
        Symbol to its collar in bps.
    """
    marks = {row["client_order_id"]: Decimal(row["mark_e8"]) / 10**8 for row in sent}
    worst, widest = None, None
    found = []
    for row in fills:
        name, symbol = str(row["orderLinkId"]), str(row["symbol"])
        if not name.startswith(GUARD_PREFIX):
            continue
        price, mark = Decimal(row["execPrice"]), marks.get(name, Decimal(row["markPrice"] or 0))
        if not mark:
            continue
        away = (mark - price if row["side"] == "Sell" else price - mark) / mark * BPS
        worst = away if worst is None else max(worst, away)
        widest = max(widest or 0, collars[symbol])
        if away > collars[symbol] + ROUNDING_BPS:
            found.append(
                f"{name} of {symbol} traded at {price}, {away:.1f} bps from the mark {mark}, beyond the collar of {collars[symbol]}"
            )
    return Slip(None if worst is None else int(worst.to_integral_value()), widest, tuple(found))


def closed_once(fills: Sequence[Row]) -> list[str]:
    """Fills of the guard that did anything but bring a position nearer to zero, by the venue's own list in its order."""
    held: dict[str, Decimal] = {}
    found = []
    for row in fills:
        symbol, size = str(row["symbol"]), Decimal(row["execQty"]) * (1 if row["side"] == "Buy" else -1)
        before = held.get(symbol, Decimal(0))
        after = held[symbol] = before + size
        if str(row["orderLinkId"]).startswith(GUARD_PREFIX) and (before * after < 0 or abs(after) >= abs(before)):
            found.append(f"a fill of {row['orderLinkId']} took {symbol} from {before} to {after}")
    return found


def held_before(fills: Sequence[Row]) -> dict[str, Decimal]:
    """Signed sizes right before the guard's first fill of each symbol; all there was where it had none."""
    held: dict[str, Decimal] = {}
    done: set[str] = set()
    for row in fills:
        symbol = str(row["symbol"])
        if str(row["orderLinkId"]).startswith(GUARD_PREFIX):
            done.add(symbol)
        if symbol not in done:
            held[symbol] = held.get(symbol, Decimal(0)) + Decimal(row["execQty"]) * (1 if row["side"] == "Buy" else -1)
    return held
