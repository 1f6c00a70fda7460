"""The guard of a day: the real one, as a process of its own on the same virtual time, that dies, stands still and comes back.

Rules: what its latch's file and its journal were given is there for the next process, and nothing else; what it sent goes its way
whatever becomes of it; the trader reaches it over a line that loses, delays, repeats and forges.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from random import Random
from typing import Final

from tests.simulation.audit_brake import BrakeSide
from tests.simulation.auditor import Auditor
from tests.simulation.brake_themes import BRAKE_THEMES
from tests.simulation.clock import Process
from tests.simulation.guard_client import SimGuardVenue
from tests.simulation.guard_disk import Kept, MemoryJournal, MemoryLatch, Pages
from tests.simulation.guard_limits import WATCH, limits_of
from tests.simulation.memory import Killed
from tests.simulation.releases import SERVER_KEY, record_of
from tests.simulation.script import Action, Script
from tests.simulation.traders import KillPoint
from tests.simulation.world import ACCOUNT, IDS, MS, World

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import KedgeError, VenueUnavailable
from kedge.services.guard.guard import Guard
from kedge.services.guard.settings import GuardSettings
from kedge.services.guard.status import PermitAnswer
from kedge.services.guard_permits import RemotePermits, beat_of, permit_bytes
from kedge.services.guard_release import read_release

KEY: Final = b"\x05" * 32
FORGERS_KEY: Final = b"\x06" * 32
POLL_S: Final = 0.25
WATCH_POLL_S: Final = 0.4
"""A day reads a little less often than the product, so that it costs less; the auditor's deadlines allow for it."""
LEVELS: Final = {"reduce_only": BrakeLevel.REDUCE_ONLY, "halt": BrakeLevel.HALTED, "flatten": BrakeLevel.FLATTENING}


class Line:
    """One trader's line to the guard."""

    def __init__(self, house: GuardHouse) -> None:
        self._house, self.is_gone = house, False

    async def ask(self, target: str, headers: dict[str, str]) -> bytes:
        """One question over the wire, as `RemotePermits` asks it."""
        house, loop = self._house, self._house.world.loop
        answer = loop.create_future()
        nonce = target.partition("nonce=")[2].partition("&")[0]

        def back(body: bytes | None) -> None:
            if answer.done() or self.is_gone:
                return
            if body is None:
                answer.set_exception(VenueUnavailable("Connection refused", why="no guard listens", fix="kedge guard"))
                return
            house.brake.heard(nonce, body)
            answer.set_result(body)

        house.carry(nonce, headers, back)
        return await answer


class GuardHouse:
    """One guard after the other on one account.

    Parameters
    ----------
    tell : callable
        Told of the bytes of every record.
    """

    def __init__(self, script: Script, world: World, auditor: Auditor, brake: BrakeSide, tell: Callable[[bytes], None]) -> None:
        self.script, self.world, self.auditor, self.brake = script, world, auditor, brake
        self._tell = tell
        self._network, self._nonces = Random(f"line {script.seed}"), 0
        self.kept, self.pages = Kept(), Pages()
        self.kill = KillPoint()
        self.guard: Guard | None = None
        self.process: Process | None = None
        self.processes: list[Process] = []
        self.deaths = self.approvals = 0
        self.skew_ms = 0
        self._venues: list[SimGuardVenue] = []
        self._ports: tuple[MemoryLatch, MemoryJournal] | None = None
        self._last_good: bytes | None = None
        self._used: str | None = None
        self._lines: list[Line] = []
        poll_s = WATCH_POLL_S if script.guard == WATCH and script.theme not in BRAKE_THEMES else POLL_S
        self._settings = GuardSettings(
            account=ACCOUNT, instruments=IDS, triggers=limits_of(script.guard), poll_risk_s=poll_s, poll_flat_s=0.5, orders_every_s=poll_s,
            clock_every_s=2.0,
        )  # fmt: skip

    # coming and going -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Another process of the guard."""
        process = self.process = Process(self.world.loop)
        self.processes.append(process)
        process.soon(self._begin, process)

    def _begin(self, process: Process) -> None:
        def reach(name: str) -> None:
            if process is self.process and not process.is_held and self.kill.name == name:
                try:
                    self.kill.reach(name)
                except Killed:
                    self.die(self._away_ms)
                    raise

        latch = MemoryLatch(self.kept, self.world, self.brake, reach, self.wall_ns)
        journal = MemoryJournal(self.kept, self.world, self.brake, reach, self._tell)
        self._ports = (latch, journal)
        if self.kept.latch is None:
            latch.begin()

        def connect() -> SimGuardVenue:
            venue = SimGuardVenue(self.world, self.auditor, self.brake)
            venue.reach = reach
            self._venues.append(venue)
            return venue

        guard = self.guard = Guard(
            connect, latch, journal, self._settings, alarm=self.pages, wall_ns=self.wall_ns, monotonic_ns=self.monotonic_ns, version="day",
        )  # fmt: skip
        self.brake.began(str(guard.holder.level))
        self.world.loop.create_task(guard.run())

    _away_ms = 1_000

    def die(self, away_ms: int) -> None:
        """The process is gone; another one starts later."""
        process = self.process
        if process is None:
            return
        self.deaths += 1
        process.hold()
        self.process = self.guard = None
        for venue in self._venues:
            venue.vanish()
        self._venues.clear()
        if self._ports is not None:
            for port in self._ports:
                port.is_frozen = True
        self.brake.ended()
        self.world.later(away_ms, self.begin)

    def freeze(self, for_ms: int) -> None:
        """The process stands still for a while."""
        process = self.process
        if process is None or process.is_held:
            return
        process.hold()
        self.brake.slept(True)

        def go_on() -> None:
            if process is self.process:
                self.brake.slept(False)
                process.go_on()

        self.world.later(for_ms, go_on)

    def close(self) -> None:
        """The day is over: whatever stood still may end."""
        for port in self._ports or ():
            port.is_frozen = True
        for process in self.processes:
            process.go_on()

    def wall_ns(self) -> int:
        """The guard's own clock."""
        return self.world.now_ns + self.skew_ms * MS

    def monotonic_ns(self) -> int:
        """Of its machine."""
        return self.world.loop.now_ns + 5_000_000_000

    # what people do -----------------------------------------------------------------------------------------------------

    def do(self, action: Action) -> bool:
        """Something of the script that is the guard's; whether it was."""
        ms = action.number("ms", 1_000)
        match action.what:
            case "guard_crash":
                self.die(ms)
            case "guard_kill":
                self._away_ms = ms
                self.kill.arm(str(action.args.get("point", "after_latched")), action.number("count", 1))
            case "guard_freeze":
                self.freeze(ms)
            case "engage":
                self._within(lambda guard: self._engage(guard, LEVELS[str(action.args.get("level", "halt"))]))
            case "report":
                trigger = Trigger(str(action.args.get("trigger", "journal")))
                self._within(lambda guard: guard.report(trigger, "as the script says", source="trader"))
            case "release":
                self.release(str(action.args.get("kind", "good")), str(action.args.get("high_water", "reset")))
            case "latch_torn":
                self._tear(action.number("keep", 20))
            case "latch_full" | "guard_journal_full" | "guard_deaf" | "guard_no_book":
                self.world.hold(action.what, ms)
            case "guard_clock":
                self.skew_ms = action.number("off_ms", 900)
                self.world.later(ms, self._set_clock)
            case "permit_lost" | "permit_late" | "permit_repeat" | "permit_forged":
                self.world.hold(action.what, ms)
            case _:
                return False
        return True

    def _set_clock(self) -> None:
        self.skew_ms = 0

    def _within(self, then: Callable[[Guard], object]) -> None:
        """Have the guard's process do something, as soon as it runs."""
        guard = self.guard
        if self.process is not None and guard is not None:
            self.process.soon(lambda: then(guard) if guard is self.guard else None)

    def _engage(self, guard: Guard, level: BrakeLevel) -> None:
        guard.engage(level, actor_id="ada", reason="as the script says", source="door")

    def _tear(self, keep: int) -> None:
        if self.kept.latch is not None:
            self.kept.latch = self.kept.latch[:keep]
            self.brake.torn()

    def release(self, kind: str, high_water: str) -> None:
        """Somebody hands the guard what is, or is made to look like, a release."""
        guard = self.guard
        if guard is None or guard.holder.level is BrakeLevel.RUNNING or (kind == "replayed" and self._used is None):
            return
        self.approvals += 1
        generation = guard.holder.latch.generation
        name = hashlib.sha256(f"{self.script.seed} {self.approvals}".encode()).hexdigest()[:24].upper()
        text = record_of(kind, name, generation, high_water, self.world.now_ns).text
        is_declared = self.script.people == "solo"
        if kind == "replayed":
            text = self._used or text
        is_good = kind == "good" or (kind in ("solo", "undeclared_solo") and is_declared)
        if kind != "replayed":
            self.brake.approval(name, generation, is_good=is_good)
        self._within(lambda one: self.world.loop.create_task(self._release(one, text, is_declared=is_declared)))

    async def _release(self, guard: Guard, text: str, *, is_declared: bool) -> None:
        try:
            order = read_release(text, SERVER_KEY, account=ACCOUNT, solo_is_declared=is_declared, now_wall_ns=self.wall_ns())
            await guard.release(order)
        except KedgeError as error:
            self.auditor.note("release refused", f"{error.what}: {error.why}")
        else:
            self._used = text

    # the line -----------------------------------------------------------------------------------------------------------

    def permits(self) -> RemotePermits:
        """The client of another process of the trader."""
        for line in self._lines:
            line.is_gone = True
        line = Line(self)
        self._lines = [line]
        return RemotePermits(line.ask, account=ACCOUNT, key=KEY, pid=1, clock_ns=self.monotonic_ns, nonce=self._nonce)

    def _nonce(self) -> str:
        self._nonces += 1
        return f"{self._nonces:032x}"

    def carry(self, nonce: str, headers: dict[str, str], back: Callable[[bytes | None], None]) -> None:
        """A question is on its way to the guard, and its answer back."""
        world, network = self.world, self._network
        if world.holds("no_permits") or (world.holds("permit_lost") and network.random() < 0.7):
            return

        def asked() -> None:
            process, guard = self.process, self.guard
            if process is None or guard is None:
                world.later(0.2, lambda: back(None))
                return
            process.soon(lambda: self._answer(guard, nonce, headers, back))

        world.later(0.1 + 2 * network.random(), asked)

    def _answer(self, guard: Guard, nonce: str, headers: dict[str, str], back: Callable[[bytes | None], None]) -> None:
        world, network = self.world, self._network
        if guard is not self.guard:
            return
        said = guard.permit(nonce, beat_of(headers, nonce, ACCOUNT, KEY))
        body = permit_bytes(said, ACCOUNT, KEY)
        self.brake.answered(nonce, body)
        if said.granted:
            self._last_good = self._last_good if world.holds("permit_repeat") else body
        if world.holds("permit_lost") and network.random() < 0.5:
            return
        late_ms = network.randint(300, 1_600) if world.holds("permit_late") else 0
        if world.holds("permit_repeat") and self._last_good is not None:
            body = self._last_good
        elif world.holds("permit_forged"):
            body = _forged(nonce)
        world.later(0.1 + 2 * network.random() + late_ms, lambda: back(body))


def _forged(nonce: str) -> bytes:
    """What somebody without the key would like the trader to believe."""
    said = PermitAnswer(granted=True, level=BrakeLevel.RUNNING, trigger=None, generation=0, guard="guard", nonce=nonce)
    return permit_bytes(said, ACCOUNT, FORGERS_KEY)
