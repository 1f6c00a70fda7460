"""One day from one script: the market plays, things happen, traders die and come back, and in the end everything must agree.

`run` is the whole of it. What it returns is plain; a violation is in it and not raised, so that seeds can be counted.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import msgspec
from tests.simulation.auditor import Auditor, S, Violation
from tests.simulation.clock import VirtualLoop
from tests.simulation.ending import Ending
from tests.simulation.memory import DayJournal, Killed
from tests.simulation.script import TROUBLE, Action, Script
from tests.simulation.traders import BRAKES, CellWatch, KillPoint, build
from tests.simulation.world import ACCOUNT, BEFORE_S, FUNDING_S, MS, T0, WALLET_E8, World

from kedge.domain.events import Command, CommandGiven
from kedge.services.live import LiveTrader

QUIET_S: Final = 58
"""After the day: no faults, no wishes, at least two comparisons of the books."""
MEASURE: Final = {"events": 3_000, "orders": 20, "troubles": 5, "kinds": 3, "restarts": 1, "fundings": 1}
"""What a day must have in it at least."""
TROUBLES: Final = tuple(sorted(TROUBLE - {"crash", "kill"}))
LONGER_S: Final = 5
"""A day that has not yet its measure goes on for so long, and again."""
LONGER_MAX_S: Final = 150
QUIET_EVENTS: Final = 120
"""So many follow in the quiet end at least."""
SURE: Final = (
    Action(0, "duplicate_private"),
    Action(0, "reorder_private"),
    Action(0, "delay_request", {"ms": 300, "path": "/v5/order/create"}),
)
"""Troubles that a day gets when its own have struck nothing."""
SETTLED_S: Final = 8
"""After a settlement no day ends for so long: its rows are on their way."""
CALM_S: Final = 40.0
"""So long into the quiet end others trade; then nothing is under way any more."""
GRACE_S: Final = 20
"""So long the end waits for a comparison that is under way."""
_LAST: Final = frozenset({"drain", "squeeze", "ghost_money"})
"""What may end the trading of a day waits until the day has had in it what a day must have."""
_COMMANDS: Final = {one.value: one for one in Command}

_STRANGE: Final = ("FOREIGN_ORDER", "FOREIGN_POSITION", "FILL_NOT_UNDERSTOOD", "POSITION_DIFFERS", "WALLET_DIFFERS")
_EXPLAIN: Final = {
    "foreign_order": _STRANGE,
    "guard_order": ("GUARD_ACTS", *_STRANGE),
    "foreign_trade": _STRANGE,
    "ghost_money": ("WALLET_DIFFERS",),
    "squeeze": ("LIQUIDATED",),
    "drain": ("LIQUIDATED",),
}
"""Codes by which trading may halt because of what others did."""


class Outcome(msgspec.Struct, kw_only=True):
    """What became of a day.

    Attributes
    ----------
    rule, figures, at_s
        The violation; empty and 0 where there was none.
    events : int
        Rows of the venue, records of the journal and messages on the wire, each of which the auditor checked.
    digest : str
        Of the journal's bytes and the wire's log.
    """

    seed: int
    theme: str
    style: str
    rule: str = ""
    figures: str = ""
    at_s: float = 0.0
    events: int = 0
    records: int = 0
    orders: int = 0
    fills: int = 0
    fundings: int = 0
    restarts: int = 0
    troubles: int = 0
    kinds: int = 0
    faults: dict[str, int] = {}
    acts: dict[str, int] = {}
    codes: dict[str, int] = {}
    cells: dict[tuple[str, str], int] = {}
    digest: str = ""
    story: list[str] = []
    cpu_s: float = 0.0

    @property
    def is_bad(self) -> bool:
        return bool(self.rule)

    @property
    def is_thin(self) -> bool:
        """Whether it has less in it than a day must have; the fault is the script's, not the trader's."""
        return any(getattr(self, name) < least for name, least in MEASURE.items())


class Day:
    """One day while it lasts."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.loop = VirtualLoop()
        self.digest = hashlib.sha256()
        limits = BRAKES[script.brake]
        self.auditor = Auditor(
            lambda: T0 + self.loop.now_ns, T0, WALLET_E8, ACCOUNT, limits.position_notional_frac_max_e8,
            expects_stops=script.stop_bps > 0, explained=frozenset(code for act in script.actions for code in _EXPLAIN.get(act.what, ())),
            adopts=script.foreign == "adopt", brakes=(limits.drawdown_halt_e8, limits.daily_loss_halt_e8),
        )  # fmt: skip
        self.world = World(script, self.loop, self.auditor)
        self.auditor.wall_ns = lambda: self.world.wall_ns
        self.auditor.stop_bps, self.auditor.plays_until_ns = script.stop_bps, T0 + script.seconds * S
        self.kill = KillPoint()
        self.trader: LiveTrader | None = None
        self.journal: DayJournal | None = None
        self.restarts = 0
        self.acts: dict[str, int] = {}
        self.violation: Violation | None = None
        self._restart_ms, self._postponed = 300, False
        self._over: asyncio.Future[str] | None = None

    # life -------------------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """From the first order to the last agreement."""
        over = self._over = self.loop.create_future()
        self.loop.on_error = self._broke
        for action in self.script.actions:
            self.loop.call_at(action.at_ms / 1e3, self._act, action)
        self.loop.call_at(float(self.script.seconds), self._evening, LONGER_MAX_S)
        while not over.done():
            await self._one_process()

    async def _one_process(self) -> None:
        """A trader from its start to its death, or to the end of the day."""
        self.auditor.began()
        self.journal = DayJournal(self._durable, self.journal)
        trader = self.trader = build(self.script, self.world, self.auditor, self.journal, self.kill)
        running = asyncio.ensure_future(trader.run())
        over = self._over
        if over is None:
            return
        await asyncio.wait([running, over], return_when=asyncio.FIRST_COMPLETED)
        if self.violation is not None:
            return
        if not running.done():
            Ending(self.script, self.world, self.auditor, trader).check()
            trader.finish("the day is over")
            await running
            return
        self._bury()
        try:
            running.result()
        except Killed:
            self.restarts += 1
        self.kill.name = ""
        self.auditor.trouble(self.world.now_ns + (self._restart_ms + 3_000) * MS)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._restart_ms / 1e3):
                await asyncio.shield(over)

    def _durable(self, body: bytes) -> None:
        self.digest.update(body)
        self._watched(lambda: self.auditor.record(body))

    def _watched(self, tell: Any) -> None:
        """A violation found within the trader's own calls ends the day, not the trader's task alone."""
        try:
            tell()
        except Violation as found:
            self.stop(found)
            raise Killed from None

    def stop(self, found: Violation) -> None:
        """The day ends here; the first violation counts."""
        self.violation = self.violation or found
        if self._over is not None and not self._over.done():
            self._over.set_result("violation")

    def _broke(self, error: BaseException) -> None:
        """A timer of the world or of a client raised this."""
        if not isinstance(error, Killed):
            self.stop(error if isinstance(error, Violation) else Violation("CRASH", repr(error), self.loop.now_ns / S))

    # what happens -----------------------------------------------------------------------------------------------------

    def _act(self, action: Action) -> None:
        if action.what in _LAST and self.world.is_evening:
            return
        if action.what in _LAST and (self._short() - {"events"} or (action.what == "drain" and not self.world.is_laden)):
            self._postponed = True
            self.loop.call_later(LONGER_S, self._act, action)
            return
        self.acts[action.what] = self.acts.get(action.what, 0) + 1
        if action.what == "crash":
            self._crash(action.number("ms", 300))
        elif action.what == "kill":
            self._restart_ms = action.number("ms", 300)
            self.kill.arm(str(action.args.get("point", "after_commit")), action.number("count", 1))
        elif action.what == "resume":
            self._resume()
        elif action.what in _COMMANDS:
            self._command(_COMMANDS[action.what], "operator", "as the script says")
        elif action.what == "no_permits":
            self.world.hold("no_permits", action.number("ms", 4_000))
        else:
            if action.what in ("deaf", "ban", "maintenance"):
                self.auditor.trouble(self.world.now_ns + (action.number("ms", 600_000 if action.what == "ban" else 60_000) + 15_000) * MS)
            self.world.do(action)

    def _crash(self, restart_ms: int) -> None:
        self._restart_ms = restart_ms
        if self.trader is not None:
            self._bury()
            self.trader.fail(Killed())

    def _bury(self) -> None:
        """Whatever still runs of a process that is gone writes nothing more and hears nothing more."""
        if self.journal is not None:
            self.journal.freeze()
        for client in list(self.world.clients):
            client.vanish()

    def _command(self, command: Command, actor: str, reason: str) -> None:
        trader = self.trader
        if trader is not None and trader.is_ready and trader.condition == "trading":
            with suppress(Killed):
                trader.command(CommandGiven(trader.core.now_ns(), command, actor, reason))

    def figures(self) -> dict[str, int]:
        """What the day had in it so far, by the names of its measure."""
        auditor, done = self.auditor, self.world.armoury.done
        acts = {name: self.acts[name] for name in TROUBLES if self.acts.get(name)}
        return {
            "events": auditor.count.events, "orders": len(auditor.flights), "restarts": self.restarts,
            "fundings": sum(1 for one in auditor.executions.values() if one["kind"] == "Funding"),
            "troubles": sum(acts.values()) + sum(done.values()), "kinds": len(acts) + sum(1 for count in done.values() if count),
        }  # fmt: skip

    def _short(self) -> set[str]:
        """What the day has not yet had in it that a day must have."""
        had = self.figures()
        had["events"] += QUIET_EVENTS
        return {name for name, least in MEASURE.items() if had[name] < least}

    def _evening(self, left_s: int) -> None:
        """The day ends when it had in it what a day must have."""
        short, postponed, self._postponed = self._short(), self._postponed, False
        if not left_s or not (short or postponed):
            self._quieten()
            return
        self._resume()
        for sure in SURE if short & {"troubles", "kinds"} else ():
            self._act(sure)
        if "restarts" in short and left_s % 20 == 0:
            self._crash(300)
        self.loop.call_later(LONGER_S, self._evening, left_s - LONGER_S)

    def _quieten(self) -> None:
        """No more trouble; a person lets trading go on where it stands."""
        self.world.is_evening = True
        self.loop.call_later(QUIET_S, self._finish, GRACE_S)
        self.world.armoury.clear()
        self.world.until_ns.clear()
        self.world.refuses_later.clear()
        self.world.ignored_amends = self.world.first_lost = 0
        self.kill.name = ""
        self.loop.call_later(18.0, self._calm_down)
        self.loop.call_later(CALM_S, self._stand_still)
        for later_s in (20.0, 25.0, 35.0):
            self.loop.call_later(later_s, self._resume)

    def _resume(self) -> None:
        if self.auditor.risk != "running":
            self._command(Command.RESUME, "operator", "somebody has seen to it")

    def _finish(self, grace_s: int) -> None:
        """The day ends when no comparison is under way; one that never ends is found by then."""
        over, trader = self._over, self.trader
        if (self.loop.time() - BEFORE_S) % FUNDING_S < SETTLED_S:
            self.loop.call_later(1.0, self._finish, grace_s)
            return
        is_busy = trader is None or trader.condition != "trading"
        if is_busy and grace_s:
            self.loop.call_later(1.0, self._finish, grace_s - 1)
        elif over is not None and not over.done():
            over.set_result("over")

    def _calm_down(self) -> None:
        """Prices move no more; there is always somebody to trade with, so that what is still wanted can be had."""
        self.world.is_calm = True

    def _stand_still(self) -> None:
        self.world.is_playing = False


def run(script: Script) -> Outcome:
    """Live through a day."""
    begun = time.process_time()
    _leave_to_the_end()
    cells: dict[tuple[str, str], int] = {}
    with _silence(), CellWatch(cells):
        day = Day(script)
        failed = _lived(day)
    auditor = day.auditor
    outcome = Outcome(seed=script.seed, theme=script.theme, style=script.style, cells=cells, codes=auditor.codes)
    if failed is not None:
        outcome.story = auditor.story()
        outcome.rule, outcome.figures, outcome.at_s = failed.rule, failed.figures, failed.at_s
    for name, value in day.figures().items():
        setattr(outcome, name, value)
    outcome.records, outcome.fills = auditor.records, len(auditor.executions) - outcome.fundings
    outcome.acts, outcome.faults = day.acts, dict(day.world.armoury.done)
    day.digest.update(repr((auditor.count, sorted(auditor.flights))).encode())
    outcome.digest = day.digest.hexdigest()
    del day, auditor
    gc.collect()
    gc.enable()
    outcome.cpu_s = time.process_time() - begun
    return outcome


def _lived(day: Day) -> Violation | None:
    loop = day.loop
    asyncio.set_event_loop(None)
    try:
        loop.run_until_complete(day.live())
    except Violation as found:
        return day.violation or found
    except Killed:
        return day.violation or Violation("CRASH", "the process ended by itself", loop.now_ns / S)
    except Exception as error:  # whatever the trader died of
        return day.violation or Violation("CRASH", f"{type(error).__name__}: {error}", loop.now_ns / S)
    finally:
        _end(loop)
    return day.violation


def _end(loop: VirtualLoop) -> None:
    """Nothing of the day goes on."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    with suppress(BaseException):
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()


def _leave_to_the_end() -> None:
    """Looking for cycles among all libraries again and again costs a part of each day: a day's own are left to its end."""
    global _is_frozen
    gc.disable()
    if not _is_frozen:
        gc.collect()
        gc.freeze()
        _is_frozen = True


_is_frozen = False


@contextmanager
def _silence() -> Iterator[None]:
    """A day's log would be thousands of lines that nobody reads."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
