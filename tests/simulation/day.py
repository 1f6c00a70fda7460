"""One day from one script: the market plays, things happen, traders die and come back, and in the end everything must agree.

`run` is the whole of it. What it returns is plain; a violation is in it and not raised, so that seeds can be counted.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.simulation.auditor import S, Violation
from tests.simulation.clock import VirtualLoop
from tests.simulation.life import Day
from tests.simulation.memory import Killed
from tests.simulation.outcome import MEASURE, Outcome
from tests.simulation.script import Script
from tests.simulation.traders import CellWatch


def run(script: Script) -> Outcome:
    """Live through a day."""
    begun = time.process_time()
    _leave_to_the_end()
    cells: dict[tuple[str, str], int] = {}
    with _silence(), CellWatch(cells):
        day = Day(script)
        failed = _lived(day)
    auditor = day.auditor
    outcome = Outcome(seed=script.seed, theme=script.theme, style=script.style, cells=cells, codes=auditor.codes)
    if failed is not None:
        outcome.story = auditor.story()
        outcome.rule, outcome.figures, outcome.at_s = failed.rule, failed.figures, failed.at_s
    for name, value in day.figures().items():
        setattr(outcome, name, value)
    outcome.records, outcome.fills = auditor.records, len(auditor.executions) - outcome.fundings
    if auditor.brake is not None and day.house is not None:
        outcome.brakes, outcome.guarded = auditor.brake.reached, {**auditor.brake.counts, **day.house.pages.codes}
    outcome.acts, outcome.faults = day.acts, dict(day.world.armoury.done)
    day.digest.update(repr((auditor.count, sorted(auditor.flights))).encode())
    outcome.digest = day.digest.hexdigest()
    del day, auditor
    gc.collect()
    gc.enable()
    outcome.cpu_s = time.process_time() - begun
    return outcome


def _lived(day: Day) -> Violation | None:
    loop = day.loop
    asyncio.set_event_loop(None)
    try:
        loop.run_until_complete(day.live())
    except Violation as found:
        return day.violation or found
    except Killed:
        return day.violation or Violation("CRASH", "the process ended by itself", loop.now_ns / S)
    except Exception as error:  # whatever the trader died of
        return day.violation or Violation("CRASH", f"{type(error).__name__}: {error}", loop.now_ns / S)
    finally:
        if day.house is not None:
            day.house.close()
        _end(loop)
    return day.violation


def _end(loop: VirtualLoop) -> None:
    """Nothing of the day goes on."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    with suppress(BaseException):
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()


def _leave_to_the_end() -> None:
    """Looking for cycles among all libraries again and again costs a part of each day: a day's own are left to its end."""
    global _is_frozen
    gc.disable()
    if not _is_frozen:
        gc.collect()
        gc.freeze()
        _is_frozen = True


_is_frozen = False


@contextmanager
def _silence() -> Iterator[None]:
    """A day's log would be thousands of lines that nobody reads."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


__all__ = ["MEASURE", "Outcome", "run"]
