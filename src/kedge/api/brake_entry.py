"""The way in for engaging the brake: as strict as any other, but the store of people cannot stand in the way.

Rules: the store has a second to say who asks and whether they may. Where it does not answer, or fails, whoever it vouched for in the last
minutes is let in by the same table of roles; a browser must still show that its own page asks. Nothing else is opened by this.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from kedge.api.asked import asked_of
from kedge.api.body import read_body
from kedge.api.identity import CSRF_HEADER, OWN_SITES, CsrfRefused, has_people, identify, permit, refuse_forged
from kedge.api.known import KnownActors
from kedge.api.problems import NoPeople
from kedge.api.rates import Policy, Rates, refuse
from kedge.api.strict import StrictRoute, refuse_unknown
from kedge.domain.errors import Conflict, IntegrityError, NotSignedIn, RecordingFailed
from kedge.domain.people import Source
from kedge.governance.roles import Action, require

WITHIN_S: Final = 1.0
BRAKE: Final = Policy("brake", 600)
"""Its own group: whoever has used up what they may write can still brake."""
STORE_TROUBLE: Final = (TimeoutError, RecordingFailed, Conflict, IntegrityError)
log = logging.getLogger(__name__)


class BrakeRoute(StrictRoute):
    """A route that somebody comes through with the store of people slow, locked or damaged, if it knew them a moment ago."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = APIRoute.get_route_handler(self)
        known = [str(field.alias) for field in self.dependant.query_params]

        async def strict(request: Request) -> Response:
            await _enter(request)
            refuse_unknown(request, known)
            request, _ = await read_body(request, wanted=True)
            return await handle(request)

        return strict


async def _enter(request: Request) -> None:
    if not has_people(request):
        raise NoPeople
    asked = asked_of(request)
    rates: Rates = request.app.state.rates
    standing = rates.take(BRAKE, f"address:{asked.client.address}")
    asked.headers += standing.headers()
    refuse(standing)
    try:
        async with asyncio.timeout(WITHIN_S):
            await identify(request)
            await refuse_forged(request)
            await permit(request, Action.BRAKE_ENGAGE)
    except STORE_TROUBLE as error:
        log.error("the store of people does not answer; who was known a moment ago may brake", extra={"problem": repr(error)[:200]})
        _enter_as_known(request)


def _enter_as_known(request: Request) -> None:
    """Let in whoever was known a moment ago, by the same table."""
    asked, known = asked_of(request), request.app.state.known
    assert isinstance(known, KnownActors)
    actor = known.find(asked.given)
    if actor is None:
        raise NotSignedIn(
            "nobody can say who you are",
            why="the store of people does not answer, and this server has not seen you in the last minutes",
            fix='kedge brake engage --level flatten --reason "..." at this machine asks nobody; so does http://127.0.0.1:8081/',
        )
    if actor.source is Source.BROWSER and not _is_own_page(request):
        raise CsrfRefused("nothing shows that our own page asks", why="another site's page could have sent it", fix="load the page again")
    require(actor, Action.BRAKE_ENGAGE, now_wall_ns=time.time_ns(), accounts_exist=True)
    asked.actor = actor


def _is_own_page(request: Request) -> bool:
    """A header of our own takes a script of our own origin; which token it holds cannot be compared now."""
    headers = request.headers
    site = headers.get("sec-fetch-site")
    return bool(headers.get(CSRF_HEADER)) and (site in OWN_SITES if site is not None else "origin" in headers)
