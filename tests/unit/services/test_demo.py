"""The demo's market: bars wait for their time, lost time is not made up, settlements come with their bars."""

from __future__ import annotations

from itertools import islice

import pytest

from kedge.domain.events import BarClosed, Event, FeedGap
from kedge.services import demo
from kedge.services.demo import Pace, SyntheticFeed, paced

from ...builders import AAA, BBB, MINUTE, T0, S, bar, instrument

WHOLE = 10_000 * S


class Wall:
    """A clock that only waiting moves, and a test."""

    def __init__(self) -> None:
        self.now_ns = WHOLE
        self.waited_s: list[float] = []

    def ns(self) -> int:
        return self.now_ns

    def wait(self, seconds: float) -> None:
        self.waited_s.append(seconds)
        self.now_ns += round(seconds * S)


@pytest.fixture
def wall() -> Wall:
    return Wall()


def pace(wall: Wall, speed: int) -> Pace:
    return Pace(speed, wall.ns, wall.wait)


def test_the_first_bar_comes_at_once_and_the_next_at_their_time(wall: Wall) -> None:
    bars = [bar(n) for n in (1, 2, 4)]
    assert list(paced(bars, pace(wall, 60))) == bars
    assert wall.waited_s == [1.0, 2.0]


def test_bars_of_one_time_come_together(wall: Wall) -> None:
    bars = [bar(n, instrument_id=name) for n in (1, 2) for name in (AAA, BBB)]
    assert list(paced(bars, pace(wall, 600))) == bars
    assert wall.waited_s == [pytest.approx(0.1)]


def test_without_a_speed_nothing_waits(wall: Wall) -> None:
    bars = [bar(n) for n in range(1, 9)]
    assert list(paced(bars, pace(wall, 0))) == bars
    assert wall.waited_s == []


def test_only_bars_are_held_back(wall: Wall) -> None:
    events: list[Event] = [FeedGap(T0, AAA, T0 - MINUTE), bar(1), FeedGap(T0 + 5 * MINUTE, AAA, T0 + MINUTE), bar(6)]
    assert list(paced(events, pace(wall, 60))) == events
    assert wall.waited_s == [5.0]


def test_work_between_bars_is_taken_off_the_wait(wall: Wall) -> None:
    stream = paced([bar(1), bar(2), bar(3)], pace(wall, 60))
    next(stream)
    wall.now_ns += 3 * S // 10
    next(stream)
    next(stream)
    assert wall.waited_s == [pytest.approx(0.7), pytest.approx(1.0)]


def test_a_little_lateness_is_caught_up_and_a_lot_is_not(wall: Wall) -> None:
    stream = paced([bar(n) for n in range(1, 8)], pace(wall, 60))
    next(stream)
    wall.now_ns += 18 * S // 10  # bar 2 is 0.8 s late: in time again at bar 3
    next(stream)
    next(stream)
    assert wall.waited_s == [pytest.approx(0.2)]
    wall.now_ns += 60 * S  # a laptop slept: bar 4 at once, then one bar a second as before, no burst
    next(stream)
    assert len(wall.waited_s) == 1
    next(stream)
    next(stream)
    assert wall.waited_s[1:] == [pytest.approx(1.0), pytest.approx(1.0)]


PAIR = (instrument(AAA), instrument(BBB))


def feed(count: int | None = None, seed: int = 5) -> SyntheticFeed:
    return SyntheticFeed(PAIR, seed, MINUTE, T0, count)


def test_bars_are_ordered_and_end_when_they_should() -> None:
    events = list(feed(7).events())
    assert [(event.ts_ns, event.instrument) for event in events if isinstance(event, BarClosed)] == [
        (T0 + n * MINUTE, name) for n in range(1, 8) for name in (AAA, BBB)
    ]
    assert list(feed(0).events()) == []


def test_an_endless_market_begins_like_a_short_one_and_does_not_care_for_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    short = list(feed(40).events())
    assert list(islice(feed().events(), len(short))) == short
    monkeypatch.setattr(demo, "CHUNK_BARS", 16)
    assert list(feed(40).events()) == short
    assert list(islice(feed().events(), len(short))) == short
    assert list(feed(40, seed=6).events()) != short


def test_settlements_are_there_before_the_bar_that_pays_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "CHUNK_BARS", 64)
    made = feed(1_000)
    stream = made.events()
    next(stream)
    assert made.fundings == []  # the first chunk ends before eight o'clock
    for event in stream:
        if event.ts_ns == T0 + 480 * MINUTE:
            break
    due = [rate for rate in made.fundings if rate.ts_ns <= T0 + 480 * MINUTE]
    assert [(rate.ts_ns, rate.instrument) for rate in due] == [(T0 + 480 * MINUTE, name) for name in (AAA, BBB)]
    list(stream)
    assert made.fundings == sorted(made.fundings)
    assert len(made.fundings) == len(set(made.fundings)) == 4
