"""A wall clock that was set is noticed, in either direction, and one that only goes on is not."""

from __future__ import annotations

from collections.abc import Callable

from kedge.services.guard_clocks import SET_NS, WallWatch

S = 1_000_000_000
NOON_NS = 1_800_000_000 * S


class Clocks:
    """The two clocks of one machine; `between` runs between two looks at them."""

    def __init__(self) -> None:
        self.wall, self.elapsed = NOON_NS, 50 * S
        self.between: Callable[[], None] = lambda: None

    def wall_ns(self) -> int:
        self.between()
        return self.wall

    def passes(self, seconds: float) -> None:
        self.wall += round(seconds * S)
        self.elapsed += round(seconds * S)

    def watch(self) -> WallWatch:
        return WallWatch(self.wall_ns, lambda: self.elapsed)


def test_time_that_passes_and_small_corrections_are_nothing() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.passes(86_400)
    clocks.wall += SET_NS
    assert (watch.look(), watch.known_from_wall_ns) == (0, 0)


def test_a_clock_that_was_set_back_is_believed_again_once_it_is_past_where_it_was() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.passes(60)
    clocks.wall -= 3_600 * S
    assert watch.look() == -3_600 * S
    assert watch.known_from_wall_ns == NOON_NS + 60 * S
    clocks.passes(10)
    assert watch.look() == 0, "told once"


def test_a_clock_that_was_set_forward_is_believed_from_there() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.wall += 900 * S
    assert watch.look() == 900 * S
    assert watch.known_from_wall_ns == NOON_NS + 900 * S
    clocks.wall -= 900 * S
    assert watch.look() == -900 * S
    assert watch.known_from_wall_ns == NOON_NS + 900 * S, "what was written down meanwhile is from the future"


def test_readings_that_lie_apart_say_nothing_and_the_next_ones_do() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.wall -= 30 * S
    clocks.between = lambda: clocks.passes(10)
    assert watch.look() == 0
    clocks.between = lambda: None
    assert watch.look() == -30 * S
