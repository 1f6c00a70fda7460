"""The checks behind `/health`: each asks the thing itself, every time, and says what it saw and what to do.

Rules: nothing is assumed well, an answer that does not come is a failure, an unknown figure is a failure; no secret, no money and
no position appears in an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import KedgeError, NotFound
from kedge.ops.guard_files import read_status
from kedge.ops.health_file import SUPERVISOR, read_health_file
from kedge.ops.state_folder import JOURNAL_NAME, inbox_path, models_folder, registry_folder, run_folder
from kedge.ops.trader_status import read_trader_status
from kedge.services.inbox import Inbox
from kedge.storage.journal_reader import SqliteJournalReader

CHECK_TIMEOUT_S: Final = 2.0
LOOKS: Final = 20
"""Into so many waits a check's time is cut, so that seconds in which this process itself stood still cost one of them."""
STOP_LATE_S: Final = 2.0
"""A stop is put within a second or so; the trader itself acts after five."""
START_FIX: Final = "kedge up, or kedge trade; kedge system status shows what runs"


class Health(StrEnum):
    """What a check may say. `none` is a part that this system does not have, which is never called well."""

    OK = "ok"
    FAILED = "failed"
    NONE = "none"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One check's answer. Readiness needs every `needed` one to be ok."""

    name: str
    state: Health
    needed: bool
    seen: str
    fix: str = ""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at: a state folder now, with the trader's status as read once for all checks."""

    state_folder: Path
    now: datetime
    trader: Mapping[str, Any] | None
    trader_problem: str
    session: Any


Answer = tuple[Health, str, str]
Check = Callable[[Subject], Awaitable[Answer]]
"""What a check says: state, what it saw, what to do."""


async def findings(state_folder: Path, session: aiohttp.ClientSession, now: datetime) -> list[Finding]:
    """Run every check, all at once; each is bounded in time."""
    trader, problem = None, ""
    try:
        trader = read_trader_status(state_folder, now)
    except KedgeError as error:
        problem = error.what
    subject = Subject(state_folder=state_folder, now=now, trader=trader, trader_problem=problem, session=session)
    return list(await asyncio.gather(*(_bounded(name, needed, check, subject) for name, needed, check in CHECKS)))


async def _bounded(name: str, needed: bool, check: Check, subject: Subject) -> Finding:
    try:
        state, seen, fix = await _in_time(check, subject)
    except TimeoutError:
        state, seen, fix = Health.FAILED, f"no answer within {CHECK_TIMEOUT_S:g} s", START_FIX
    except KedgeError as error:
        state, seen, fix = Health.FAILED, error.what, error.fix
    except Exception as error:  # whatever a file or a venue may say: what cannot be judged has failed
        state, seen, fix = Health.FAILED, f"{type(error).__name__}: {error}", START_FIX
    return Finding(name=name, state=state, needed=needed, seen=seen, fix="" if state == Health.OK else fix)


async def _in_time(check: Check, subject: Subject) -> Answer:
    """The check's answer; raises `TimeoutError` where it had its time and gave none.

    One timer over the whole time would call a part silent whose answer lies here unread: after a standstill of ours, both are ready.
    """
    asking = asyncio.ensure_future(check(subject))
    try:
        for _ in range(LOOKS):
            await asyncio.wait((asking,), timeout=CHECK_TIMEOUT_S / LOOKS)
            if asking.done():
                return asking.result()
    finally:
        asking.cancel()
    raise TimeoutError


NOT_TOLD: Final = "this trader does not tell"
LIMITS_TOLD: Final = 3
"""Groups of requests that are named, the fullest first."""


async def _journal(subject: Subject) -> Answer:
    if subject.trader is None or not subject.trader.get("run_id"):
        return Health.FAILED, subject.trader_problem or "no run has begun", START_FIX
    path = run_folder(subject.state_folder, str(subject.trader["run_id"])) / JOURNAL_NAME
    return await asyncio.to_thread(_read_journal, path)


def _read_journal(path: Path) -> Answer:
    with SqliteJournalReader(path) as reader:
        head, last = reader.head(), reader.last_seq()
    if head is None:
        return Health.FAILED, "the journal ends with no signed head", "kedge audit verify names the place"
    return Health.OK, f"signed, {last + 1} rows", ""


async def _trader(subject: Subject) -> Answer:
    if subject.trader is None:
        return Health.FAILED, subject.trader_problem, START_FIX
    if not subject.trader["fresh"]:
        return Health.FAILED, f"silent for {subject.trader['age_s']:.0f} s", START_FIX
    if problem := subject.trader.get("problem"):
        return Health.FAILED, str(problem), str(subject.trader.get("problem_fix") or "see the trader's log")
    if subject.trader.get("phase") != "trading":
        return Health.FAILED, f"it is {subject.trader.get('phase')}", "wait; its log says what it waits for"
    return Health.OK, f"risk state {subject.trader.get('risk_state')}", ""


async def _exchange(subject: Subject) -> Answer:
    url = (subject.trader or {}).get("venue_url")
    if not url:
        return Health.FAILED, subject.trader_problem or "no trader says which venue it speaks to", START_FIX
    async with subject.session.get(f"{url}/v5/market/time") as answer:
        body = await answer.json(content_type=None)
    if answer.status != 200 or body.get("retCode") != 0:
        return Health.FAILED, f"HTTP {answer.status}, code {body.get('retCode')}", "wait for the venue; nothing of ours is broken"
    return Health.OK, "answers", ""


async def _feed(subject: Subject) -> Answer:
    trader = _fresh(subject)
    streams: Mapping[str, Any] = trader["streams"]
    down = [name for name, up in sorted(streams.items()) if up is not True]
    if down or not streams:
        return Health.FAILED, f"down: {', '.join(down) or 'all streams'}", "the trader reconnects by itself; see its log"
    if trader["feed_stale"] is not False:
        return Health.FAILED, "no bar arrives", "the venue is silent, paused or without a market; kedge system status"
    return Health.OK, "bars arrive", ""


async def _reconciliation(subject: Subject) -> Answer:
    trader = _fresh(subject)
    if trader["reconciled"] is not True:
        return Health.FAILED, "the books are not reconciled with the venue's", "see the trader's log; a halt names the difference"
    return Health.OK, "books agree", ""


async def _stops(subject: Subject) -> Answer:
    missing: Mapping[str, float] | None = _fresh(subject).get("stops_missing_s")
    if missing is None:
        return Health.NONE, NOT_TOLD, ""
    longest_s = max(missing.values(), default=0.0)
    if longest_s >= STOP_LATE_S:
        fix = "the trader puts them, and closes what stays without one; its log says what the venue answers"
        return Health.FAILED, f"{len(missing)} missing, the longest for {longest_s:.1f} s", fix
    return Health.OK, f"{len(missing)} on their way" if missing else "none is missing", ""


async def _requests(subject: Subject) -> Answer:
    """How much of our share of the venue's limits is used. A full share is no failure: requests wait, exits and cancels do not."""
    used: Sequence[Mapping[str, Any]] | None = _fresh(subject).get("limits")
    if used is None:
        return Health.NONE, NOT_TOLD, ""
    told = [f"{one['group']} {one['used_frac']:.0%}" + f" ({one['level']})" * (one["level"] != "ok") for one in used[:LIMITS_TOLD]]
    return Health.OK, f"of our share: {', '.join(told)}" if told else "nothing of our share is used", ""


async def _operator(subject: Subject) -> Answer:
    needed: Sequence[str] | None = _fresh(subject).get("action_needed")
    if needed is None:
        return Health.NONE, NOT_TOLD, ""
    if needed:
        what, _, fix = needed[0].partition("; ")
        more = f", and {len(needed) - 1} more" if len(needed) > 1 else ""
        return Health.FAILED, f"a person must act: {what}{more}", fix or "see the trader's log"
    return Health.OK, "nothing waits for a person", ""


def _fresh(subject: Subject) -> Mapping[str, Any]:
    if subject.trader is None or not subject.trader["fresh"]:
        raise NotFound(subject.trader_problem or "the trader is silent, so this is not known", why="it alone knows", fix=START_FIX)
    if "streams" not in subject.trader:
        raise NotFound(
            f"it has no figures yet: it is {subject.trader.get('phase')}", why="it has no run", fix="wait; its log says for what"
        )
    return subject.trader


async def _inbox(subject: Subject) -> Answer:
    """Whether people's commands reach the trader: one that is damaged takes no stop."""
    return await asyncio.to_thread(_read_inbox, inbox_path(subject.state_folder))


def _read_inbox(path: Path) -> Answer:
    if not path.exists():
        return Health.NONE, "nobody told the trader anything", ""
    with Inbox(path) as inbox:
        waiting = len(inbox.waiting())
    return Health.OK, f"{waiting} commands wait for a trader" if waiting else "no command waits", ""


async def _supervisor(subject: Subject) -> Answer:
    try:
        found = read_health_file(subject.state_folder, SUPERVISOR, subject.now)
    except KedgeError:
        return Health.NONE, "these processes were started one by one", ""
    if not found["fresh"]:
        return Health.FAILED, "it is silent: nobody restarts what dies", "kedge up"
    given_up = [row["name"] for row in found["children"] if row["state"] == "given up"]
    if given_up:
        return Health.FAILED, f"gave up on {', '.join(given_up)}", "kedge system status says why"
    return Health.OK, f"{len(found['children'])} processes", ""


async def _guard(subject: Subject) -> Answer:
    try:
        found = read_status(subject.state_folder, subject.now)
    except NotFound:
        return Health.NONE, "no guard has run with this state folder; the trader's own limits hold", ""
    latch, permits = found["latch"], found["permits"]
    if not found["fresh"]:
        return Health.FAILED, f"silent for {found['age_s']:.0f} s: no new risk is permitted", "kedge up, or kedge guard"
    if latch["level"] != BrakeLevel.RUNNING:
        return Health.FAILED, f"the brake is {latch['level']}: {latch['trigger']}", "kedge brake status; kedge brake release"
    if permits:
        return Health.FAILED, f"no new risk is permitted: {permits}", "its log says more"
    return Health.OK, f"generation {latch['generation']}", ""


async def _models(subject: Subject) -> Answer:
    return await asyncio.to_thread(_read_registry, subject.state_folder)


def _read_registry(state_folder: Path) -> Answer:
    from kedge.storage.model_store import ModelStore
    from kedge.storage.registry_state import store_state

    trained = len(ModelStore(models_folder(state_folder)).list())
    seen = store_state(registry_folder(state_folder))
    if seen == "ok":
        return Health.OK, f"the registry can be read, {trained} models", ""
    if seen == "missing" and not trained:
        return Health.NONE, "no model was trained with this state folder", ""
    fix = "trading goes on with the models by hash; restore the folder from a backup, or train again to begin a new one"
    return Health.FAILED, f"MLflow's store is {seen}; {trained} models are kept beside it", fix


CHECKS: Final[tuple[tuple[str, bool, Check], ...]] = (
    ("journal", True, _journal),
    ("trader", True, _trader),
    ("exchange", True, _exchange),
    ("feed", True, _feed),
    ("reconciliation", True, _reconciliation),
    ("stops", False, _stops),
    ("requests", False, _requests),
    ("operator", False, _operator),
    ("inbox", False, _inbox),
    ("supervisor", False, _supervisor),
    ("models", False, _models),
    ("guard", False, _guard),
)
"""Name, whether readiness needs it, and the check."""
