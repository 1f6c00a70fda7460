"""What a person sees of a running system: a live view on a terminal, plain lines in a pipe, one question at the end.

Everything shown comes from the trader's status file, so that it is what the trader says of itself; old figures are said to be old.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from kedge.apps.output import console
from kedge.apps.view import percent, render, utc_text
from kedge.kernel.compiling import late_compilations

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

LINE_S = 5.0
ANSWER_S = 15.0
STOP_LATE_S = 2.0
FULL = "critical"
"""A request limit's level at which the screen says so."""
CHOICES = {"f": "flatten", "l": "leave", "g": "go on"}
QUESTION = "risk is on: {what}. [f]latten, [l]eave it to the venue, [g]o on? "


def alarms() -> list[str]:
    """What an operator must know at once. A law compiled after READY means that money waited for a compiler."""
    return [f"LATE_COMPILATION {name}" for name in late_compilations()]


class Screen:
    """Shows the system until it ends.

    Parameters
    ----------
    target : Console or None
        None shows nothing.
    live : Live or None
        Given on a terminal.
    note : str
        Stands under the figures.
    """

    def __init__(self, target: Console | None, live: Live | None, note: str, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._target, self._live, self._note, self._clock_s = target, live, note, clock_s
        self._line_at = 0.0

    @property
    def is_live(self) -> bool:
        return self._live is not None

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._target is not None:
            self._target.print(text, highlight=False, markup=False, soft_wrap=True)

    def show(self, status: Mapping[str, Any] | None, children: Sequence[Mapping[str, Any]]) -> None:
        """Refresh; lines in a pipe at most every five seconds."""
        if self._live is not None:
            self._live.update(drawn(status, children, self._note, self._live.console.height), refresh=True)
        elif self._target is not None and (children or status) and self._clock_s() >= self._line_at:
            self._line_at = self._clock_s() + LINE_S
            self._target.out(line(status) if _has_figures(status) and status else _starting(children), highlight=False)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The terminal belongs to a question meanwhile."""
        if self._live is None:
            yield
            return
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()


@contextmanager
def screen(note: str, *, quiet: bool) -> Iterator[Screen]:
    """A screen for stdout: live on a terminal, lines in a pipe, nothing when quiet."""
    target = console()
    if quiet or not target.is_terminal:
        yield Screen(None if quiet else target, None, note)
        return
    from rich.live import Live

    with Live(console=target, auto_refresh=False, screen=False) as live:
        yield Screen(target, live, note)


def drawn(status: Mapping[str, Any] | None, children: Sequence[Mapping[str, Any]], note: str, height_rows: int) -> Any:
    """The whole view: the processes in one line, then the trader's figures once it has any."""
    if status is None or not _has_figures(status):
        return _starting(children)
    rows = [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in status.get("recent", ())]
    view = render(status, rows, title(status), note, warnings(status, children), height_rows - bool(children))
    return Group(Text(_starting(children), style="dim", no_wrap=True), view) if children else view


def title(status: Mapping[str, Any]) -> str:
    """Rung, source, run, and the model with what it has said."""
    model = str(status.get("model", ""))
    told = f" · {status.get('model_version') or 'model'} {model[:12]}, {status.get('predictions', 0):,} predictions" if model else ""
    return f"{status['rung']} · {status['source']} · ".upper() + str(status["run_id"]) + told


def line(status: Mapping[str, Any]) -> str:
    """The figures of this moment in one line."""
    funnel = status["funnel"]
    vetoed = sum(funnel["vetoed"].values())
    old = " (old figures)" if _is_old(status) else ""
    return (
        f"{title(status)} {utc_text(status['ts_ns'])} equity {float(status['equity']):,.2f} drawdown {percent(status['drawdown'])} "
        f"bars {funnel['bars']} signals {funnel['signals']} vetoed {vetoed} sent {funnel['sent']} filled {funnel['filled']} "
        f"round trips {status['round_trips']} state {status['risk_state']} guard {status['guard']}{old}"
    )


def warnings(status: Mapping[str, Any], children: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stands on top of the view, in words."""
    found = list(status.get("alarms", ()))
    if _is_old(status):
        found.append(f"the trader is silent for {status['age_s']:.0f} s: these figures are old")
    if status.get("problem"):
        found.append(str(status["problem"]))
    found += [f"a person must act: {text}" for text in status.get("action_needed", ())]
    found += [f"{name} has no stop for {s:.0f} s" for name, s in sorted(status.get("stops_missing_s", {}).items()) if s >= STOP_LATE_S]
    if status.get("instruments_problem"):
        age_s = status.get("instruments_age_s")
        told = "" if age_s is None else f"; those in force are {age_s / 3_600:.1f} h old"
        found.append(f"{status['instruments_problem']}{told}")
    full = [one for one in status.get("limits", ()) if one["level"] == FULL]
    found += [f"requests: {one['group']} at {one['used_frac']:.0%} of our share" for one in full]
    return found + [
        f"{row['name']} is {row['state']}" + (f": {row['why']}" if row["why"] else "")
        for row in children
        if row["state"] not in ("ready", "ended", "stopped")
    ]


def _is_old(status: Mapping[str, Any]) -> bool:
    """Whether figures should be newer; those of a trader that has ended are its last."""
    return bool(status["stale"]) and status.get("phase") not in ("stopped", "ended")


def _has_figures(status: Mapping[str, Any] | None) -> bool:
    return status is not None and "funnel" in status


def _starting(children: Sequence[Mapping[str, Any]]) -> str:
    return " · ".join(_told(row) for row in children)


def _told(row: Mapping[str, Any]) -> str:
    """A process in a few words; one that died also says how."""
    restarts = f" (restarts {row['restarts']})" if row["restarts"] else ""
    died = f": {row['why']}" if row["why"] and row["state"] in ("waiting", "silent", "given up") else ""
    return f"{row['name']} {row['state']}{restarts}{died}"


def risk_in_words(status: Mapping[str, Any] | None) -> str:
    """What is open, '' for nothing."""
    if status is None or not _has_figures(status):
        return ""
    parts = [
        f"{len(status[name])} {word}{'s' * (len(status[name]) > 1)}"
        for name, word in (("positions", "position"), ("live_orders", "order"))
        if status[name]
    ]
    return " and ".join(parts)


def is_flat(status: Mapping[str, Any] | None) -> bool:
    """Whether the trader says, just now, that nothing is open; figures that are old or missing say nothing."""
    return status is not None and _has_figures(status) and not status["stale"] and not risk_in_words(status)


async def ask(what: str, again: asyncio.Event, *, answer_s: float = ANSWER_S) -> str:
    """Ask the person at the terminal. No answer in time, none that is understood, or `again` (a second Ctrl-C) leaves it to the venue."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not typed.done():
            typed.set_result(sys.stdin.readline())

    print(QUESTION.format(what=what), end="", flush=True)
    loop.add_reader(sys.stdin.fileno(), read)
    try:
        urged = asyncio.ensure_future(again.wait())
        either: tuple[asyncio.Future[Any], ...] = (typed, urged)
        await asyncio.wait(either, timeout=answer_s, return_when=asyncio.FIRST_COMPLETED)
        urged.cancel()
        return CHOICES.get(typed.result().strip().lower()[:1], "leave") if typed.done() else "leave"
    finally:
        loop.remove_reader(sys.stdin.fileno())
        print(flush=True)
