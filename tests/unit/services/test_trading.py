"""The loop: step, commit, send, in that order, and nothing is sent that was not recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from kedge.domain.errors import RecordingFailed
from kedge.domain.events import Event
from kedge.domain.outputs import OrderSent, Output
from kedge.engine.engine import Engine
from kedge.services.trading import run

from ...builders import AAA, ListJournal, Wish, bar, engine, flat_bars, instrument, settings
from ..strategy.model_documents import a_model, trader_of


class Told:
    """A journal and a gateway that note what reaches them, in one list."""

    def __init__(self, fails_at: int = 0) -> None:
        self.log: list[str] = []
        self.sent: list[Output] = []
        self.fails_at = fails_at

    def keep(self, blobs: Mapping[str, bytes]) -> None:
        self.log.append(f"keep {len(blobs)}")

    def commit(self, event: Event, outputs: Sequence[Output]) -> None:
        if self.fails_at and event.ts_ns >= bar(self.fails_at).ts_ns:
            raise RecordingFailed("disk full", why="no space", fix="make room")
        self.log.append(f"commit {len(outputs)}")

    def flush(self) -> None:
        self.log.append("flush")

    def send(self, outputs: Sequence[Output]) -> None:
        self.log.append(f"send {len(outputs)}")
        self.sent += outputs


def test_recorded_before_sent_and_flushed_at_the_end() -> None:
    told = Told()
    run(engine(Wish().say(0.1)), flat_bars(2), told, told)
    assert told.log == ["commit 2", "send 2", "commit 0", "flush"]


def test_what_a_model_saw_is_kept_before_the_step_that_names_it() -> None:
    told, model = Told(), a_model()
    prices = (1_000, 1_001, 1_002, 1_003, 1_004)
    run(Engine(settings(), [instrument()], trader_of(model)), [bar(n, price) for n, price in enumerate(prices, 1)], told, told)
    assert told.log == ["commit 0"] * 4 + ["keep 1", "commit 3", "send 3", "flush"]


def test_what_could_not_be_recorded_is_not_sent() -> None:
    told, wish = Told(fails_at=2), Wish()

    def events() -> Iterator[Event]:
        yield bar(1)
        wish.say(0.1)
        yield bar(2)

    with pytest.raises(RecordingFailed):
        run(engine(wish), events(), told, told)
    assert told.log == ["commit 0"]
    assert told.sent == []


def test_progress_is_called_every_so_many_events() -> None:
    seen: list[int] = []
    told = Told()
    run(engine(), flat_bars(7), told, told, every=3, then=lambda event: seen.append(event.ts_ns))
    assert seen == [bar(3).ts_ns, bar(6).ts_ns]
    run(engine(), flat_bars(7), told, told, every=3)
    journal = ListJournal()
    run(engine(Wish().say(0.1)), flat_bars(1), journal, told)
    assert isinstance(journal.steps[0][1][1], OrderSent)
    assert journal.steps[0][1][1].approved.order.instrument == AAA
