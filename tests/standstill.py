"""A machine that stands still measures nothing: a test that failed while its process was not let run is asked once more.

A shared machine may hold a whole process for seconds. What fails then says something of the machine, not of the code: a deadline of a
second passed and nobody had a chance to meet it. Such a failure counts no more and no less than a measurement with the instrument
unplugged, so the test runs again, once, and the summary names it with the seconds. A failure without a standstill, or one that comes
again, fails as ever; a deadline that the code misses by working too long is no standstill. Tests marked `once`, which assert the deadlines
of the brake with three times slack, are never asked again.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
import warnings
from collections.abc import Callable
from time import sleep  # this thread's own: a test may put another in the module's place
from typing import Any, Final

import pytest
from _pytest.runner import runtestprotocol  # the only way to run an item by pytest's own steps

LOOK_S: Final = 0.05
GAP_S: Final = 0.1
"""A thread that wakes later than this did not merely wait for its turn among the process's own threads."""
STILL_S: Final = 0.3
"""So much in a test makes its failure a question about the machine."""
AGAIN: Final = "again"


class Watch:
    """Sums the seconds in which this process was neither let run nor at work."""

    def __init__(self, seen: Callable[[], float] = time.monotonic, worked: Callable[[], float] = time.process_time) -> None:
        self.still_s = 0.0
        self._clocks = seen, worked
        self._looking = threading.Lock()
        self._seen_s, self._worked_s = seen(), worked()

    def begin(self) -> Watch:
        """Look every `LOOK_S` from a thread of its own."""
        threading.Thread(target=self._look_forever, name="standstill", daemon=True).start()
        return self

    def look(self) -> None:
        """Compare both clocks with those of the last look; one before its time finds nothing."""
        with self._looking:
            seen_s, worked_s = (clock() for clock in self._clocks)
            still_s = seen_s - self._seen_s - LOOK_S - (worked_s - self._worked_s)
            if still_s > GAP_S:
                self.still_s += still_s
            self._seen_s, self._worked_s = seen_s, worked_s

    def _look_forever(self) -> None:
        while True:
            sleep(LOOK_S)
            self.look()


WATCH: Final = Watch().begin()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run a test by pytest's steps, and once more where it failed while the process stood still."""
    hook = item.ihook
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    WATCH.look()
    before_s = WATCH.still_s
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    WATCH.look()  # its thread was held along with the test and may not have had its turn yet
    still_s = WATCH.still_s - before_s
    may_be_asked = item.get_closest_marker("once") is None and still_s >= STILL_S
    if may_be_asked and any(report.failed for report in reports):
        for report in reports:
            if report.failed:
                _set_aside(report, still_s)
                hook.pytest_runtest_logreport(report=report)
        reports = _anew(item, nextitem)
    for report in reports:
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _set_aside(report: Any, still_s: float) -> None:
    report.outcome = AGAIN
    report.still_s = still_s


def _anew(item: Any, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Fixtures of wider scope may have failed and would fail again from memory: all are made anew."""
    item.session._setupstate.teardown_exact(None)
    _clear_away()
    item._initrequest()
    return runtestprotocol(item, nextitem=nextitem, log=False)


def _clear_away() -> None:
    """What a test that was broken off left open is nobody's defect; collected later, it would fail whatever test runs then."""
    # pytest leaves these for a debugger, and with them the test's frames
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        vars(sys).pop(name, None)
    with warnings.catch_warnings(action="ignore"):
        gc.collect()


def pytest_report_teststatus(report: Any) -> tuple[str, str, str] | None:
    """How a test that is asked again is counted: as neither passed nor failed."""
    return (AGAIN, "A", "AGAIN") if report.outcome == AGAIN else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name each test that was asked again, what it said and for how long the machine stood still."""
    set_aside = terminalreporter.getreports(AGAIN)
    if not set_aside:
        return
    terminalreporter.section("asked again: the machine stood still")
    for report in set_aside:
        crash = getattr(report.longrepr, "reprcrash", None)
        said = str(crash.message if crash else report.longrepr).splitlines()[0]
        terminalreporter.write_line(f"{report.nodeid} ({report.when}, {report.still_s:.1f} s): {said}")
