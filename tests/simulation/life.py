"""A day while it lasts: traders that begin, die and come back, what happens to them, and how it ends."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import Final

from tests.simulation.audit_brake import BrakeSide
from tests.simulation.audit_losses import Losses
from tests.simulation.auditor import Auditor, S, Violation
from tests.simulation.clock import VirtualLoop
from tests.simulation.ending import Ending
from tests.simulation.guard_limits import GUARDS, NONE, losses_of
from tests.simulation.guards import GuardHouse
from tests.simulation.memory import DayJournal, Killed
from tests.simulation.outcome import MEASURE
from tests.simulation.script import TROUBLE, Action, Script
from tests.simulation.traders import BRAKES, KillPoint, build
from tests.simulation.world import ACCOUNT, BEFORE_S, FUNDING_S, MS, T0, WALLET_E8, World

from kedge.domain.events import Command, CommandGiven
from kedge.services.live import LiveTrader

QUIET_S: Final = 58
"""After the day: no faults, no wishes, at least two comparisons of the books."""
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
STILL_NS: Final = 8 * S
"""And so long nothing has left: an account that is nearly gone is closed in many small orders."""
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
        self.auditor.losses = Losses(
            {
                "DRAWDOWN": (limits.drawdown_soft_e8, limits.drawdown_reduce_e8),
                "DAILY_LOSS": (limits.daily_loss_soft_e8, limits.daily_loss_reduce_e8),
            }
        )
        self.auditor.brake = brake = self._brake_side()
        self.world = World(script, self.loop, self.auditor)
        if brake is not None:
            brake.worth_now = lambda: self.world.core.wallet(ACCOUNT).equity_e8
            self.world.is_wanted = lambda: brake.level == "flattening"  # who has to close finds somebody to trade with, late as it is
        self.house = None if brake is None else GuardHouse(script, self.world, self.auditor, brake, self.digest.update)
        self.auditor.wall_ns, self.auditor.quoted = lambda: self.world.wall_ns, self.world.shows_quote
        self.auditor.stop_bps, self.auditor.plays_until_ns = script.stop_bps, T0 + script.seconds * S
        self.kill = KillPoint()
        self.trader: LiveTrader | None = None
        self.journal: DayJournal | None = None
        self.restarts = 0
        self.acts: dict[str, int] = {}
        self.violation: Violation | None = None
        self._restart_ms, self._postponed = 300, False
        self._over: asyncio.Future[str] | None = None

    def _brake_side(self) -> BrakeSide | None:
        script = self.script
        if script.guard == NONE:
            return None
        found = BrakeSide(
            self.auditor, limits=losses_of(script.guard), latency_ms=script.latency_ms, start_ns=T0, wallet_e8=WALLET_E8
        )  # fmt: skip
        found.tell = self._broke
        found.silent_s = GUARDS[script.guard].get("heartbeat_cancel_s", 0)
        found.bare_s = GUARDS[script.guard].get("stop_missing_s", 0)
        return found

    # life -------------------------------------------------------------------------------------------------------------

    async def live(self) -> None:
        """From the first order to the last agreement."""
        over = self._over = self.loop.create_future()
        self.loop.on_error = self._broke
        for action in self.script.actions:
            self.loop.call_at(action.at_ms / 1e3, self._act, action)
        self.loop.call_at(float(self.script.seconds), self._evening, LONGER_MAX_S)
        if self.house is not None:
            self.house.begin()
        while not over.done():
            await self._one_process()

    async def _one_process(self) -> None:
        """A trader from its start to its death, or to the end of the day."""
        self.auditor.began()
        self.journal = DayJournal(self._durable, self.journal)
        remote = None if self.house is None else self.house.permits()
        trader = self.trader = build(self.script, self.world, self.auditor, self.journal, self.kill, remote)
        running = asyncio.ensure_future(trader.run())
        over = self._over
        if over is None:
            return
        await asyncio.wait([running, over], return_when=asyncio.FIRST_COMPLETED)
        if self.violation is not None:
            return
        if not running.done():
            Ending(self.script, self.world, self.auditor, trader).check()
            if self.auditor.brake is not None:
                self.auditor.brake.end()
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
        """A record; a violation found within the trader's own calls ends the day, not the trader's task alone."""
        self.digest.update(body)
        try:
            self.auditor.record(body)
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
        if action.what in _LAST | {"loss"} and self.world.is_evening:
            return
        if action.what == "loss" and not self.world.is_laden and not self.world.is_evening:
            self.loop.call_later(1.0, self._act, action)
            return
        is_last = action.what in _LAST or (action.what == "loss" and self.script.guard == "daily_loss")
        if is_last and (self._short() - {"events"} or (action.what == "drain" and not self.world.is_laden)):
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
        elif self.house is None or not self.house.do(action):
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
            if client.has_market:
                client.vanish()

    def _command(self, command: Command, actor: str, reason: str) -> None:
        trader = self.trader
        if trader is not None and trader.is_ready and trader.condition == "trading":
            try:
                trader.command(CommandGiven(trader.core.now_ns(), command, actor, reason))
            except Killed:  # the process dies of it wherever the call came from
                self._crash(self._restart_ms)

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
        if self.house is not None:
            self._release()
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
        if self.house is not None:
            self.house.kill.name = ""
            for later_s in (12.0, 19.0, 24.0, 34.0):
                self.loop.call_later(later_s, self._release)
        self.loop.call_later(18.0, self._calm_down)
        self.loop.call_later(CALM_S, self._stand_still)
        for later_s in (20.0, 25.0, 35.0, 42.0):
            self.loop.call_later(later_s, self._resume)

    def _release(self) -> None:
        if self.house is not None:
            self.house.release("solo" if self.script.people == "solo" else "good", "reset")

    def _resume(self) -> None:
        if self.auditor.risk != "running":
            self._command(Command.RESUME, "operator", "somebody has seen to it")

    def _finish(self, grace_s: int) -> None:
        """The day ends when no comparison is under way; one that never ends is found by then."""
        over, trader = self._over, self.trader
        if (self.loop.time() - BEFORE_S) % FUNDING_S < SETTLED_S:
            self.loop.call_later(1.0, self._finish, grace_s)
            return
        newest = next(reversed(self.auditor.flights.values()), None)
        is_trading = newest is not None and self.world.now_ns - newest.left_ns < STILL_NS
        is_busy = trader is None or trader.condition != "trading" or is_trading or self.world.is_wanted()
        if is_busy and grace_s:
            self.loop.call_later(1.0, self._finish, grace_s - 1)
        elif over is not None and not over.done():
            over.set_result("over")

    def _calm_down(self) -> None:
        """Prices move no more; there is always somebody to trade with, so that what is still wanted can be had."""
        self.world.is_calm = True

    def _stand_still(self) -> None:
        self.world.is_playing = False
