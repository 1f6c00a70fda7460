"""What a guard's process keeps: the real latch and a journal over memory, which outlive it, and who is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from tests.simulation.audit_brake import BrakeSide
from tests.simulation.memory import Killed
from tests.simulation.world import ACCOUNT, World

from kedge.domain.errors import RecordingFailed
from kedge.ops.latch_file import LatchFile
from kedge.services.guard.records import Baseline, GuardRecord, Latched, Released, Seen


class Kept:
    """What lies on the guard's disk."""

    def __init__(self) -> None:
        self.latch: bytes | None = None
        self.journal: list[GuardRecord] = []
        self.has_journal = False


class MemoryLatch(LatchFile):
    """The real latch over bytes in memory."""

    def __init__(self, kept: Kept, world: World, brake: BrakeSide, reach: Callable[[str], None], wall_ns: Callable[[], int]) -> None:
        super().__init__(Path("latch.json"), ACCOUNT, known=self._known_generation, wall_ns=wall_ns)
        self._kept, self._world, self._brake, self._reach = kept, world, brake, reach
        self.is_frozen = False

    def load(self) -> bytes:
        if self._kept.latch is None:
            raise FileNotFoundError
        return self._kept.latch

    def store(self, content: bytes) -> None:
        if self.is_frozen:
            raise Killed
        self._reach("before_latch")
        if self._world.holds("latch_full"):
            self._brake.latched(content, False)
            raise OSError(28, "no space left on the device")
        self._kept.latch = content
        self._brake.latched(content, True)
        self._reach("after_latch")

    def _known_generation(self) -> int | None:
        if not self._kept.has_journal:
            return None
        return max((one.generation for one in self._kept.journal if isinstance(one, Latched | Released)), default=0)


class MemoryJournal:
    """Implements `kedge.services.guard.ports.JournalPort` over a list."""

    def __init__(self, kept: Kept, world: World, brake: BrakeSide, reach: Callable[[str], None], tell: Callable[[bytes], None]) -> None:
        self._kept, self._world, self._brake, self._reach, self._tell = kept, world, brake, reach, tell
        self.is_frozen = False

    def append(self, record: GuardRecord) -> None:
        if self.is_frozen:
            raise Killed
        if self._world.holds("guard_journal_full"):
            self._brake.takes_records = False
            raise RecordingFailed("the guard's journal takes no records", why="the disk is full", fix="free space")
        kind = str(record.__struct_config__.tag)
        self._reach(f"before_{kind}")
        self._kept.has_journal = True
        if not isinstance(record, Seen):
            self._kept.journal.append(record)
        body = msgspec.json.encode(record)
        self._tell(body)
        self._brake.record(body)
        self._reach(f"after_{kind}")

    def baseline(self) -> Baseline | None:
        return next((one for one in reversed(self._kept.journal) if isinstance(one, Baseline)), None)

    def was_used(self, approval_id: str) -> bool:
        return any(isinstance(one, Released) and one.approval_id == approval_id for one in self._kept.journal)


class Pages:
    """Counts calls by what they are about."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}

    def page(self, code: str, words: str) -> None:
        name = code.split()[0]
        self.codes[name] = self.codes.get(name, 0) + 1
