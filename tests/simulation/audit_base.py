"""What the auditor knows, and what both sides of it need: how much may become of a position in truth, and by our books."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
from tests.simulation.audit_brake import BrakeSide
from tests.simulation.audit_losses import Losses
from tests.simulation.money import Purse

S: Final = 1_000_000_000
WINDOW_NS: Final = S
"""How long after signing the venue takes a request."""
MARGIN_NS: Final = S
"""How long after that the venue's lists may still learn of it."""
PERMIT_NS: Final = 2 * S
EXPLAINED: Final = frozenset(
    {"COMMAND", "FLATTEN", "DAILY_LOSS", "DRAWDOWN", "RECOVERED", "NEW_DAY", "MESSAGE_RATE", "ORDER_TO_TRADE", "STOP_UNCONFIRMED"}
)
"""Codes of a halt or a reduction that need nobody but people, prices and limits."""
BOOKS: Final = ("open_orders", "executions", "ledger", "positions", "wallet")
STOP_LATE_NS: Final = 8 * S
"""The five seconds within which a position has its stop or is reduced, and what orders and answers take. Virtual time needs no slack."""
FLAT_LATE_NS: Final = 8 * S
"""Within which something leaves for a position that a person wants closed, while it is quoted and nothing of it is under way."""
ASK_LATE_NS: Final = 8 * S
IDLE_NS: Final = 30 * S
"""Targets change every few seconds: a trader that could trade and sends nothing for so long is stuck."""
PRICE_NS: Final = 2 * S
"""A price older than so much is none."""
FATE_NS: Final = 6 * S
"""Within which it is known what became of an order: an answer, or a search."""
END_LATE_NS: Final = 8 * S
"""Within which our books know that an order is over which ends at once."""
UNTOLD_LATE_NS: Final = 4 * S
"""Within which they know what an order traded that they know to be over."""
SLACK_E4: Final = 10_100
"""Limits are checked against the books of the moment; what was not yet known of fees may be a hundredth."""
LAST: Final = 200
"""So much of what happened last is kept, to be read when something is found."""
Plain = dict[str, Any]


class Violation(Exception):
    """Something that must never be."""

    def __init__(self, rule: str, figures: str, at_s: float) -> None:
        super().__init__(f"{rule} at {at_s:.3f} s: {figures}")
        self.rule, self.figures, self.at_s = rule, figures, at_s


class Theirs(msgspec.Struct):
    """An order as the venue has it."""

    name: str
    instrument: str
    is_buy: bool
    is_open: bool
    is_refused: bool
    leaves: int
    qty: int
    cum: int
    price: int
    is_phantom: bool = False
    shown: frozenset[tuple[int, int]] = frozenset()


class Ours(msgspec.Struct):
    """An order as the journal tells of it. `dead` says by which word it ended; empty while it may trade.

    `over` is what it traded by the word that ended it: parts that were not told by then are still to come.
    """

    name: str
    instrument: str
    is_buy: bool
    qty: int
    reduce_only: bool
    decision: str
    attempt: int
    terms: Plain
    filled: int = 0
    leaves: int = 0
    asked: int | None = None
    dead: str = ""
    is_unknown: bool = False
    over: int = 0

    @property
    def reserved(self) -> int:
        if self.dead:
            return max(0, self.over - self.filled)
        return max(self.leaves, max(self.qty, self.asked or 0) - self.filled)


class Flight(msgspec.Struct):
    """A creation on the wire: when it left by the day's time and by the venue's wall, and how often it was looked for since it was over."""

    left_ns: int
    left_wall_ns: int
    is_over: bool = False
    looks: int = 0


Change = tuple[int | None, int | None]
"""What an amendment asks for: quantity and limit, None where it stays. A cancel asks for (0, 0)."""
CANCEL: Final[Change] = (0, 0)


class Count(NamedTuple):
    """What the auditor has seen, by the kind of thing."""

    rows: int
    records: int
    wire: int

    @property
    def events(self) -> int:
        return sum(self)


class Knowledge:
    """Watches one day.

    Parameters
    ----------
    now_ns : callable
        The day's time.
    limit_frac_e8 : int
        Largest position's notional as a fraction of equity, in 1e-8.
    expects_stops : bool
        Whether every position is to have its stop at the venue.
    adopts : bool
        Whether the trader takes over what others trade; else it halts on it.
    brakes : pair of int
        Drawdown and loss of the day, in 1e-8, at which trading halts.
    """

    def __init__(
        self,
        now_ns: Callable[[], int],
        start_ns: int,
        wallet_e8: int,
        account: str,
        limit_frac_e8: int,
        *,
        expects_stops: bool,
        explained: frozenset[str] = frozenset(),
        adopts: bool = False,
        brakes: tuple[int, int] = (100_000_001, 100_000_001),
    ) -> None:
        self._now_ns, self._start_ns, self.account = now_ns, start_ns, account
        self.wall_ns = now_ns
        self.explained, self._adopts, self._brakes = explained, adopts, brakes
        self._limit_frac_e8, self._expects_stops = limit_frac_e8, expects_stops
        self.losses: Losses | None = None
        self.venue = Purse(wallet_e8, start_ns)
        self.journal = Purse(wallet_e8, start_ns)
        self.theirs: dict[str, Theirs] = {}
        self.ours: dict[str, Ours] = {}
        self.flights: dict[str, Flight] = {}
        self.executions: dict[str, Plain] = {}
        self.booked: set[str] = set()
        self.alien: dict[str, int] = {}
        self.stops: dict[str, int] = {}
        self.naked_ns: dict[str, int] = {}
        self.idle_close_ns: dict[str, int] = {}
        self.quoted: Callable[[str], bool] = _nobody_quotes
        self.marked_ns: dict[str, int] = {}
        self.looked_ns: dict[str, int] = {}
        self.prints: dict[tuple[str, int, bool], int] = {}
        self.refusals: dict[str, int] = {}
        self.risk, self.code, self.risk_ns = "running", "", start_ns
        self.moved = ""
        self.overdue: dict[str, int] = {}
        self.wished: dict[str, list[Change]] = {}
        self.stops_wished: dict[str, set[int]] = {}
        self.stop_bps = 0
        self.plays_until_ns = self.idle_ns = start_ns
        self.ghost_e8 = 0
        self.codes: dict[str, int] = {}
        self.granted_ns: int | None = None
        self.is_up = self.is_seeing = False
        self.asked: dict[str, int] = {}
        self.back_ns: int | None = None
        self.blind_ns = self.epoch = 0
        self.rows = self.records = self.wire = 0
        self.venue_acted: set[str] = set()
        self.unstopped: set[str] = set()
        self.last: deque[tuple[int, str, object]] = deque(maxlen=LAST)
        self.late: dict[str, dict[str, Ours]] = {}
        self._live: dict[str, dict[str, Ours]] = {}
        self._open: dict[str, dict[str, Theirs]] = {}
        self.brake: BrakeSide | None = None

    @property
    def count(self) -> Count:
        return Count(self.rows, self.records, self.wire)

    def fail(self, rule: str, figures: str) -> None:
        """Say that this must never be."""
        raise Violation(rule, figures, (self._now_ns() - self._start_ns) / S)

    @property
    def now_ns(self) -> int:
        """The day's time."""
        return self._now_ns()

    def open_names(self, instrument: str) -> list[str]:
        """Ids of orders that rest at the venue, whoever sent them; those that it only acknowledged are none."""
        return [one.name for one in self._open.get(instrument, {}).values() if not one.is_phantom]

    def note(self, what: str, about: object) -> None:
        """Keep it for the story."""
        self._note(what, about)

    def _note(self, what: str, about: object) -> None:
        self.last.append((self._now_ns(), what, about))

    def story(self) -> list[str]:
        """What happened last, line by line."""
        return [f"{(at_ns - self._start_ns) / S:9.3f} {what:14} {_words(about)}" for at_ns, what, about in self.last]

    # exposure ---------------------------------------------------------------------------------------------------------

    def _open_in_truth(self, instrument: str) -> tuple[int, int]:
        """Lots that may still be bought and sold by orders of ours: at the venue, and on their way."""
        buys = sells = 0
        for theirs in self._open.get(instrument, {}).values():
            if theirs.name in self.ours and not theirs.is_phantom:
                buys, sells = buys + theirs.leaves * theirs.is_buy, sells + theirs.leaves * (not theirs.is_buy)
        now_ns = self._now_ns()
        for ours in self._live.get(instrument, {}).values():
            flight = self.flights.get(ours.name)
            if flight is not None and not flight.is_over and ours.name not in self.theirs and now_ns <= flight.left_ns + WINDOW_NS:
                buys, sells = buys + ours.qty * ours.is_buy, sells + ours.qty * (not ours.is_buy)
        return buys, sells

    def _exposure(self, instrument: str) -> None:
        """What may become of the position in truth is never more than our books reserve."""
        buys, sells = self._open_in_truth(instrument)
        held, here = self.venue.lots.get(instrument, 0), self.journal.lots.get(instrument, 0) + self.alien.get(instrument, 0)
        live = (*self._live.get(instrument, {}).values(), *self.late.get(instrument, {}).values())
        kept_buys = sum(ours.reserved for ours in live if ours.is_buy)
        kept_sells = sum(ours.reserved for ours in live if not ours.is_buy)
        if held + buys > here + kept_buys or held - sells < here - kept_sells:
            truth, books = (held - sells, held + buys), (here - kept_sells, here + kept_buys)
            self.fail("EXPOSURE", f"{instrument} may become {truth} lots in truth, {books} by our books")


def _nobody_quotes(_: str) -> bool:
    """No market is seen."""
    return False


def _words(about: object) -> str:
    if isinstance(about, dict):
        outputs = [{k: v for k, v in one.items() if k != "limits_version"} for one in about.get("outputs", ())]
        return f"#{about['seq']} {about['event']}" + (f" -> {outputs}" if outputs else "")
    return str(about)
