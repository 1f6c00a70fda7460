"""`/api/v1/brake`: where the brake stands, how far its triggers are, what engaging would do, and engaging it.

Rules: engaging is one step by one person, needs no Idempotency-Key since a second time changes nothing, and waits for no store: the guard
is asked at its door, and finds a file where it does not answer. Letting go is an approval of the kind `brake-release`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from kedge.api import schemas_brake as schemas
from kedge.api.asked import asked_of
from kedge.api.brake_entry import BrakeRoute
from kedge.api.documents import answer, now_text
from kedge.api.identity import acting, has_people, people_of
from kedge.api.routes import CursorText, desk_of
from kedge.api.strict import CHANGING, StrictRoute, answers
from kedge.domain.brake import BrakeLevel
from kedge.domain.errors import KedgeError
from kedge.domain.people import Actor, Source
from kedge.governance.actions import Action
from kedge.services.guard_door import ENGAGED_BY_DOOR, Engaged, engage
from kedge.services.guard_seen import guard_seen
from kedge.services.people.desk import PeopleDesk
from kedge.services.replica_read import read_cursor, write_cursor
from kedge.services.replica_text import time_text

reading = APIRouter(prefix="/api/v1", route_class=StrictRoute, responses=answers(503), dependencies=[Depends(acting(Action.READ))])
engaging = APIRouter(prefix="/api/v1", route_class=BrakeRoute)

Engager = Annotated[Actor, Depends(acting(Action.BRAKE_ENGAGE))]
HistoryLimit = Annotated[int, Query(ge=1, le=1000, description="Records in one page.")]
THREADS: Final = ThreadPoolExecutor(4, "brake")
"""Its own: whatever keeps the others busy, a locked store say, does not keep the brake waiting."""
TOLD_EVERY_S: Final = 5.0
TOLD_TIMES: Final = 60
"""How often, and how many times, the act of engaging is told to a store that does not take it."""
log = logging.getLogger(__name__)
_telling: set[asyncio.Task[None]] = set()


@reading.get("/brake", operation_id="getBrake", response_model=schemas.BrakeStatus)
async def status(request: Request) -> Response:
    """Where the brake stands and why, how far each trigger is, and what engaging would do now."""
    from kedge.services.brake_dry_run import dry_run, no_run
    from kedge.services.brake_records import last_drill
    from kedge.services.brake_views import brake_view

    desk = desk_of(request)
    seen = await asyncio.to_thread(guard_seen, desk.state_folder, datetime.now(UTC))
    drill = await asyncio.to_thread(last_drill, desk.state_folder)
    name = await _name_of(request, "" if seen.latch is None else seen.latch.actor_id)
    replica = None if desk.follower.reading is None else desk.follower.reading.replica
    return answer(
        {
            "server_time": now_text(),
            **brake_view(desk.state_folder, seen, actor=name),
            "dry_run": no_run(seen) if replica is None else dry_run(replica, seen),
            "last_drill": drill,
        }
    )


@reading.get("/brake/history", operation_id="listBrakeHistory", response_model=schemas.BrakeHistory)
async def history(request: Request, limit: HistoryLimit = 50, cursor: CursorText = None) -> Response:
    """What the guard did, from its own journal, newest first; thinned readings are left out, so a page may be empty and go on."""
    from kedge.services.brake_records import history_view

    before = None if cursor is None else read_cursor(cursor, [int])[0]
    rows, following, why = await asyncio.to_thread(history_view, desk_of(request).state_folder, limit, before)
    return answer({"items": rows, "next_cursor": None if following is None else write_cursor([following]), "why": why})


@reading.get("/brake/drills", operation_id="listBrakeDrills", response_model=schemas.DrillPage)
async def drills(request: Request) -> Response:
    """Drills, newest first, with the seconds they took, and whether one is due."""
    from kedge.services.brake_records import drills_view

    return answer(await asyncio.to_thread(drills_view, desk_of(request).state_folder, time.time_ns()))


@engaging.post(
    "/brake",
    operation_id="engageBrake",
    response_model=schemas.Engaged,
    responses={202: {"description": "The guard did not answer; a request waits for it.", "model": schemas.Engaged}, **answers(*CHANGING)},
)
async def engage_brake(request: Request, actor: Engager, body: schemas.EngageBody) -> Response:
    """Engage the brake. A milder level than the one in force changes nothing; the answer says what holds."""
    asked, level = asked_of(request), BrakeLevel(body.level)
    source = "token" if actor.source is Source.TOKEN else "browser"
    reason = body.reason.strip() or f"engaged by {actor.name}, who gave no reason"
    wish = partial(
        engage, desk_of(request).state_folder, level, actor_id=actor.person_id, reason=reason, source=source, wall_ns=time.time_ns()
    )
    done = await asyncio.get_running_loop().run_in_executor(THREADS, wish)
    _tell_later(people_of(request), actor, done, asked=str(level), correlation_id=asked.correlation_id)
    by_door = done.via == ENGAGED_BY_DOOR
    return answer(_engaged(done), 200 if by_door else 202)


def _engaged(done: Engaged) -> dict[str, Any]:
    by_door = done.via == ENGAGED_BY_DOOR
    if not by_door:
        words = f"the guard did not answer ({done.why}); the request waits in its folder, nothing is confirmed yet"
    elif not done.is_durable:
        words = "the guard holds it in memory; its file could not be written, and it pages"
    else:
        words = f"{str(done.level).replace('_', ' ')}: the guard holds it, and its file is on the disk"
    return {
        "via": done.via,
        "latched": by_door,
        "level": done.level,
        "generation": done.generation,
        "reason": done.reason,
        "actor_id": done.actor_id,
        "at": time_text(done.at_wall_ns),
        "words": words,
    }


def _tell_later(desk: PeopleDesk, actor: Actor, done: Engaged, *, asked: str, correlation_id: str) -> None:
    """Journal the act in the background: the answer does not wait for a store that may be locked."""
    task = asyncio.create_task(_tell(desk, actor, done, asked, correlation_id))
    _telling.add(task)
    task.add_done_callback(_telling.discard)


async def _tell(desk: PeopleDesk, actor: Actor, done: Engaged, asked: str, correlation_id: str) -> None:
    from kedge.services.people.brake_act import tell_engaged

    for _ in range(TOLD_TIMES):
        try:
            await asyncio.to_thread(tell_engaged, desk, actor, done, asked=asked, correlation_id=correlation_id)
            return
        except KedgeError as error:
            log.error("the act of engaging the brake is not journalled yet", extra={"problem": str(error)})
            await asyncio.sleep(TOLD_EVERY_S)


async def _name_of(request: Request, person_id: str) -> str:
    """The name of a person, where this server knows them; empty else, and where the store does not answer."""
    if not person_id or not has_people(request):
        return ""
    try:
        async with asyncio.timeout(1.0):
            return (await asyncio.to_thread(people_of(request).accounts.person, person_id)).display_name
    except (KedgeError, TimeoutError):
        return ""
