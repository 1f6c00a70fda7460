"""A day as a script: a seed, a few settings, and what happens at which moment. Text that a person can read, cut and replay.

Rules: everything that happens to a trader on a day stands in its script or follows from the script's seed. The same script gives the same
day to the byte; a script with a line taken out is another valid day.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from kedge.simulation.faults import RULES, Fault, checked

Word = int | str
Acts = Literal[
    "crash", "kill", "deposit", "withdraw", "halt", "resume", "flatten", "cancel_all", "foreign_order", "foreign_trade", "guard_order",
    "deleverage", "jump", "refuse_later", "slow_lists", "deaf", "no_permits", "no_room", "public_cut", "private_cut",
    "ghost_money", "stop_removed", "cancel_there", "ignore_amends", "lose_first", "late_orders", "late_executions", "squeeze", "drain",
    "nibble", "lose_trades",
    "guard_crash", "guard_kill", "guard_freeze", "engage", "report", "release", "latch_torn", "latch_full", "guard_journal_full",
    "guard_deaf", "guard_no_book", "guard_clock", "permit_lost", "permit_late", "permit_repeat", "permit_forged", "loss", "thin",
]  # fmt: skip

ACTS: Final[dict[str, str]] = {
    "crash": "the trader's process is gone at this moment; another one starts `ms` later",
    "kill": "the process is gone when it next reaches the named point for the `count`-th time",
    "deposit": "money comes into the account",
    "withdraw": "money leaves the account",
    "halt": "a person halts trading",
    "resume": "a person lets it go on",
    "flatten": "a person wants every position closed",
    "cancel_all": "a person wants every order cancelled",
    "foreign_order": "somebody else rests an order on the account, and takes it back `ms` later",
    "foreign_trade": "somebody else trades on the account",
    "guard_order": "the guard sends an order on the account",
    "deleverage": "the venue closes a part of a position against somebody's loss",
    "lose_first": "the first rows of the next `count` orders never come",
    "late_orders": "for `ms`, rows of orders come `late_ms` after those of their trades",
    "late_executions": "for `ms`, rows of trades come `late_ms` after those of their orders",
    "lose_trades": "for `ms`, rows of trades, positions and the wallet never come; those of orders do",
    "nibble": "somebody trades with a part of each of our resting orders, `count` times, every `ms`",
    "drain": "`bps` of what is free leaves the account, and prices jump by `squeeze_bps` against what it holds",
    "squeeze": "prices jump by `bps` against whatever is held",
    "ignore_amends": "the next `count` amendments are acknowledged and never carried out",
    "cancel_there": "somebody cancels our orders at the venue",
    "stop_removed": "somebody takes away the stops that lie at the positions",
    "ghost_money": "the wallet changes and no row of the ledger says why",
    "jump": "the price jumps by `bps`",
    "refuse_later": "the next `count` orders are acknowledged, then refused by the stream",
    "slow_lists": "for `ms`, orders and executions come into the venue's lists `late_ms` late",
    "deaf": "for `ms` the venue answers no question",
    "no_permits": "for `ms` nobody permits new risk",
    "no_room": "for `ms` the client's own limits let each request wait up to `wait_ms` before it is signed",
    "public_cut": "the market's stream is away for `ms`",
    "guard_crash": "the guard's process is gone at this moment; another one starts `ms` later",
    "guard_kill": "the guard's process is gone when it next reaches the named point for the `count`-th time",
    "guard_freeze": "the guard's process stands still for `ms`",
    "engage": "a person engages the brake at `level`: reduce_only, halt or flatten",
    "report": "a trader reports its journal or its model: `trigger`",
    "release": "somebody hands the guard a release of this `kind`, see `releases.py`; the drawdown counts from now on `high_water=reset`",
    "latch_torn": "only the first `keep` bytes of the latch's file are left",
    "latch_full": "for `ms` the latch's file cannot be written",
    "guard_journal_full": "for `ms` the guard's journal takes no records",
    "guard_deaf": "for `ms` the venue answers no question of the guard's",
    "guard_no_book": "for `ms` the guard sees empty books",
    "guard_clock": "for `ms` the guard's clock is off by `off_ms`",
    "permit_lost": "for `ms` most questions for permits or their answers are lost",
    "permit_late": "for `ms` answers to them are late, some too late",
    "permit_repeat": "for `ms` an old permit is the answer to every question",
    "permit_forged": "for `ms` somebody without the key answers",
    "thin": "for `ms` the background quotes `bps` of its usual size; nothing for 0",
    "loss": "prices jump against whatever is held, so that about `bps` of equity are lost",
    "private_cut": "the private stream breaks, is noticed `late_ms` later, and comes back after `ms`",
}
"""What can happen beside the faults of `kedge.simulation.faults`."""


class Action(msgspec.Struct, frozen=True):
    """Something that happens `at_ms` after the day began."""

    at_ms: int
    what: str
    args: dict[str, Word] = {}

    @property
    def is_fault(self) -> bool:
        """Whether it is trouble, and not somebody's wish."""
        return self.what in RULES or self.what in TROUBLE

    def fault(self) -> Fault:
        """The venue's or the network's fault that this orders."""
        return checked(msgspec.convert({"fault": self.what, **self.args}, Fault))

    def number(self, name: str, usual: int) -> int:
        """An argument that is a number."""
        return int(self.args.get(name, usual))

    def line(self) -> str:
        """One line of a script."""
        return " ".join((f"at {self.at_ms}", self.what, *(f"{name}={value}" for name, value in self.args.items())))


TROUBLE: Final = frozenset(
    {
        "crash",
        "kill",
        "refuse_later",
        "ignore_amends",
        "slow_lists",
        "deaf",
        "no_permits",
        "no_room",
        "public_cut",
        "private_cut",
        "deleverage",
        "lose_first",
        "late_orders",
        "late_executions",
        "lose_trades",
        "thin",
        "guard_crash",
        "guard_kill",
        "guard_freeze",
        "latch_torn",
        "latch_full",
        "guard_journal_full",
        "guard_deaf",
        "guard_no_book",
        "guard_clock",
        "permit_lost",
        "permit_late",
        "permit_repeat",
        "permit_forged",
    }  # fmt: skip
)


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One day.

    Attributes
    ----------
    seed : int
        Prices, delays and the strategy's wishes follow from it.
    style : str
        How the trader's targets become orders.
    seconds : int
        How long the market plays before the quiet end.
    latency_ms : int
        Usual time of a request on its way; answers and streams take about as long.
    stop_bps : int
        Distance of the positions' stops at the venue; 0 for none.
    foreign : str
        Whether what others do on the account is refused or adopted.
    brake : str
        Which loss stops trading first: that of the day, or the drawdown; `far` for neither.
    guard : str
        `none`, where the trader's own process permits new risk; else what the guard brakes on, see `guard_limits.py`.
    people : str
        Whether two people release the brake, or one in a declared solo mode: `two` or `solo`.
    """

    seed: int
    theme: str
    style: str
    seconds: int
    latency_ms: int = 20
    volatility_bps: int = 6
    stop_bps: int = 1_000
    foreign: str = "refuse"
    brake: str = "day"
    guard: str = "none"
    people: str = "two"
    actions: tuple[Action, ...] = ()

    def text(self) -> str:
        """The whole script, which `read` takes back."""
        head = [f"{name} {getattr(self, name)}" for name in _HEAD]
        return "\n".join([*head, *(action.line() for action in self.actions)]) + "\n"

    def without(self, places: frozenset[int]) -> Script:
        """The same day without these actions."""
        return msgspec.structs.replace(self, actions=tuple(action for n, action in enumerate(self.actions) if n not in places))


_HEAD: Final = ("seed", "theme", "style", "seconds", "latency_ms", "volatility_bps", "stop_bps", "foreign", "brake", "guard", "people")


def read(text: str) -> Script:
    """A script from its text; blank lines and those that begin with # are left out.

    Raises
    ------
    ValueError
        A line that says nothing known.
    """
    head: dict[str, Word] = {}
    actions: list[Action] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "at" and len(words) >= 3 and (words[2] in RULES or words[2] in ACTS):
            actions.append(Action(int(words[1]), words[2], dict(_argument(word) for word in words[3:])))
        elif words[0] in _HEAD and len(words) == 2:
            head[words[0]] = _word(words[1])
        else:
            raise ValueError(f"line {number}: {line!r} is neither a setting nor something that happens")
    return msgspec.convert({**head, "actions": tuple(actions)}, Script)


def read_file(path: Path) -> Script:
    """A script from a file."""
    return read(path.read_text(encoding="utf-8"))


def _argument(word: str) -> tuple[str, Word]:
    name, equals, value = word.partition("=")
    if not equals:
        raise ValueError(f"{word!r} gives no value; write NAME=VALUE")
    return name, _word(value)


def _word(text: str) -> Word:
    return int(text) if text.lstrip("-").isdigit() else text
