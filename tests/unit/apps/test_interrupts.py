"""A Ctrl-C that a library swallowed still stops the work at its next step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import pytest

from kedge.apps.interrupts import stoppable


def swallow_an_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_was_lost_on_its_way_is_raised_at_the_next_step() -> None:
    with stoppable() as check:
        check()  # nobody has asked yet
        swallow_an_interrupt()
        with pytest.raises(KeyboardInterrupt):
            check()


def test_afterwards_the_handler_of_before_listens_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stoppable():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_beside_the_main_thread_it_listens_to_nothing_and_stops_nothing() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def elsewhere() -> None:
        with stoppable() as check:
            seen.append((check(), signal.getsignal(signal.SIGINT) is before))

    thread: threading.Thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [(None, True)]


def test_work_that_asks_between_its_steps_stops_although_a_step_dropped_the_interrupt() -> None:
    done: list[int] = []

    def work(check: Callable[[], None]) -> None:
        for step in range(5):
            check()
            if step == 2:
                swallow_an_interrupt()
            done.append(step)

    with stoppable() as check, pytest.raises(KeyboardInterrupt):
        work(check)
    assert done == [0, 1, 2]
