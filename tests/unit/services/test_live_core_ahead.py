"""A step that broke before it was recorded leaves an engine that is ahead of its journal: it goes no further, and no snapshot keeps it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.builders import T0, ListJournal, Wish, bar, engine

from kedge.domain.errors import InvalidInput, RecordingFailed
from kedge.domain.events import Event
from kedge.domain.outputs import Output
from kedge.kernel.account import EQUITY
from kedge.services.kill_points import NoKillPoints
from kedge.services.live_core import LiveCore
from kedge.services.seen import Seen
from kedge.services.venue_clock import VenueClock


class Breaking(ListJournal):
    """Cannot record the `breaks_at`-th step, although it takes every other one and every snapshot."""

    breaks_at = 2

    def commit(self, event: Event, outputs: Sequence[Output]) -> None:
        self.breaks_at -= 1
        if not self.breaks_at:
            raise InvalidInput("the event cannot be recorded", why="it has no canonical bytes", fix="record what is defined")
        super().commit(event, outputs)


def core_of(journal: ListJournal, snapshot_every: int = 1_000) -> LiveCore:
    clock = VenueClock(lambda: 0, T0, speed=1, follows_wall=False)
    return LiveCore(engine(Wish()), journal, Seen(T0), clock, NoKillPoints(), snapshot_every)


def test_a_snapshot_that_was_due_is_not_taken_of_a_step_that_no_record_holds() -> None:
    journal = Breaking()
    core, due = core_of(journal, snapshot_every=1), []
    core.on_snapshot_due = lambda: due.append(True)
    core.step(bar(1))
    assert due == [True], "asked for, and taken when the step is over"
    with pytest.raises(InvalidInput):
        core.step(bar(2, 1_100))
    with pytest.raises(RecordingFailed, match="ahead of its journal"):
        core.save_snapshot()
    assert journal.snapshots == []


def test_an_engine_that_is_ahead_takes_no_step_from_which_anything_could_leave() -> None:
    journal = Breaking()
    core, handed = core_of(journal), []
    core.send = handed.append
    core.step(bar(1))
    with pytest.raises(InvalidInput):
        core.step(bar(2))
    with pytest.raises(RecordingFailed):
        core.step(bar(3))
    assert [event for event, _ in journal.steps] == [bar(1)]
    assert handed == []


def test_an_engine_that_broke_within_a_step_is_no_less_ahead() -> None:
    journal = ListJournal()
    core = core_of(journal)
    core.step(bar(1))
    core.engine.step = _break  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        core.step(bar(2))
    with pytest.raises(RecordingFailed):
        core.save_snapshot()
    assert journal.snapshots == []


def test_a_snapshot_is_of_the_last_record() -> None:
    journal = ListJournal()
    core = core_of(journal)
    core.step(bar(1))
    core.save_snapshot()
    ((seq, body),) = journal.snapshots
    again = engine(Wish())
    again.restore(body)
    assert seq == 1
    assert again.state.account_view[EQUITY] == core.state.account_view[EQUITY]


def _break(_: Event) -> tuple[Output, ...]:
    raise ZeroDivisionError
