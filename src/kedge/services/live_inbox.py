"""Which of the commands that wait in the inbox are for this run.

Rules: a command is claimed for the run before it is journalled, so one that another run claimed and did not mark is looked for in that
run's journal: it is taken once, whoever dies when. What was given before this run began stops it all the same, since a stop must not
get lost; but a resume was meant for what people saw then. It lifts the stops given before it, and nothing that happens in this run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from typing import Final

from kedge.domain.events import Command
from kedge.services.inbox import Inbox, InboxCommand

WasTaken = Callable[[str, str], bool]
"""Whether the journal of a run (first) holds a command (second)."""

_log: Final = logging.getLogger("kedge.live")


class RunInbox:
    """The inbox as one run reads it.

    Parameters
    ----------
    begun_wall_ns : int
        When the run was begun; 0 where nobody knows, which is before any command.
    journalled : collection of str
        Ids of the commands in this run's journal.
    was_taken : callable, optional
        Asks another run's journal; without it nothing that is not marked was taken.
    """

    def __init__(
        self, inbox: Inbox, run_id: str, *, begun_wall_ns: int = 0, journalled: Collection[str] = (), was_taken: WasTaken | None = None
    ) -> None:
        self._inbox, self._run_id, self._begun_wall_ns = inbox, run_id, begun_wall_ns
        self._journalled, self._was_taken = frozenset(journalled), was_taken

    def due(self) -> Iterator[InboxCommand]:
        """Commands to give now, in order, each once: it is claimed before it is handed out, and marked when the next one is asked for."""
        waiting = [one for one in self._inbox.waiting() if not self._is_done(one)]
        resumed = max((n for n, one in enumerate(waiting, 1) if self._is_past(one) and one.command is Command.RESUME), default=0)
        for past in waiting[:resumed]:
            _log.warning("command of an earlier run not taken: %s by %s", past.command, past.actor, extra={"event": "command_past"})
            self._inbox.taken(past.command_id)
        for one in waiting[resumed:]:
            self._inbox.claim(one.command_id, self._run_id)
            yield one
            self._inbox.taken(one.command_id)

    def _is_done(self, waiting: InboxCommand) -> bool:
        """Whether some run has journalled it and died before it could say so; then that is said now."""
        run_id, name = waiting.claimed_by, waiting.command_id
        elsewhere = run_id not in ("", self._run_id) and self._was_taken is not None and self._was_taken(run_id, name)
        if elsewhere or name in self._journalled:
            self._inbox.taken(name)
            return True
        return False

    def _is_past(self, waiting: InboxCommand) -> bool:
        return waiting.put_wall_ns < self._begun_wall_ns
