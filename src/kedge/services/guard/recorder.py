"""The guard's records and its calls for a person. Neither may stop it.

Rules: what the journal does not take is kept in memory, in order, and tried again with the next record; while anything waits, no permit is
granted. A call about the same thing is not repeated before its time.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from kedge.domain.errors import InvalidInput, KedgeError
from kedge.services.guard.ports import Alarm, JournalPort
from kedge.services.guard.records import GuardRecord, Paged, Seen

_LOG: Final = logging.getLogger(__name__)

KEPT: Final = 1_000
"""So many records wait for a journal that takes none; the oldest readings go first, acts stay."""
PAGES_KEPT: Final = 20


class Recorder:
    """Writes records and calls people.

    Attributes
    ----------
    trouble : str
        Why the journal does not take records; empty where it does.
    pages : deque of str
        The newest calls, newest last.
    """

    def __init__(
        self, journal: JournalPort, alarm: Alarm, wall_ns: Callable[[], int], monotonic_ns: Callable[[], int], page_every_s: float
    ) -> None:
        self.journal, self.wall_ns = journal, wall_ns
        self.trouble = ""
        self.pages: deque[str] = deque(maxlen=PAGES_KEPT)
        self._alarm, self._monotonic_ns = alarm, monotonic_ns
        self._page_every_ns = round(page_every_s * 1e9)
        self._paged_ns: dict[str, int] = {}
        self._waiting: deque[GuardRecord] = deque()

    def write(self, record: GuardRecord) -> bool:
        """Write a record, and whatever waited before it; whether it is in the journal now."""
        self._waiting.append(record)
        return self.flush()

    def flush(self) -> bool:
        """Try what waits once more; whether nothing does."""
        try:
            while self._waiting:
                self._hand_over(self._waiting[0])
                self._waiting.popleft()
        except KedgeError as error:
            self._keep_few()
            is_new, self.trouble = not self.trouble, str(error)
            if is_new:
                _LOG.error("the guard's journal takes no records: %s", error)
            self.page("JOURNAL", f"the guard's journal takes no records, so no permit is granted: {error.what}", record=False)
            return False
        if self.trouble:
            _LOG.warning("the guard's journal takes records again")
            self.trouble = ""
        return True

    def _hand_over(self, record: GuardRecord) -> None:
        """To the journal. One that no journal takes, for it is too long, is told and left, so that it keeps none after it out."""
        try:
            self.journal.append(record)
        except InvalidInput as error:
            self.page("RECORD", f"a record of the guard was lost: {error.what}, {error.why}", record=False)

    def page(self, code: str, words: str, *, record: bool = True) -> None:
        """Call a person, unless that was done for the same thing lately."""
        now_ns = self._monotonic_ns()
        last_ns = self._paged_ns.get(code)
        if last_ns is not None and now_ns - last_ns < self._page_every_ns:
            return
        self._paged_ns[code] = now_ns
        self.pages.append(f"{code}: {words}")
        _LOG.error("page %s: %s", code, words)
        self._alarm.page(code, words)
        if record:
            self.write(Paged(wall_ns=self.wall_ns(), code=code, words=words))

    def settled(self, code: str) -> None:
        """What was called about is over: the next time calls at once."""
        self._paged_ns.pop(code, None)

    def _keep_few(self) -> None:
        if len(self._waiting) <= KEPT:
            return
        acts = [record for record in self._waiting if not isinstance(record, Seen)]
        self._waiting = deque(acts[-KEPT:])
