"""Who asks, and whether they may: each route names its action, and the route asks that before it reads anything else.

Rules: a route without a named action is refused when the application is made, so that none is open by forgetting; who asks is found
out once a request; a request with a cookie and a token is refused, because nobody can say which of the two counts.

In a route::

    @router.post("/commands", ...)
    async def command(request: Request, actor: Annotated[Actor, Depends(acting(Action.HALT))], body: CommandBody) -> Response:
        await permit(request, Action.RESUME)  # where only the body says which action it is
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Final

from fastapi import Request
from fastapi.dependencies.models import Dependant
from starlette.requests import HTTPConnection

from kedge.api.asked import asked_of, client_of
from kedge.api.problems import NoPeople
from kedge.domain.errors import Forbidden, InvalidInput, NotSignedIn
from kedge.domain.people import Actor, Source
from kedge.governance.roles import Action
from kedge.services.people.desk import PeopleDesk
from kedge.services.people.repeats import Repeats

SAFE: Final = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""
CSRF_HEADER: Final = "x-kedge-csrf"
OWN_SITES: Final = ("same-origin", "none")

Dependency = Callable[[Request], Awaitable[Actor | None]]
_ACTIONS: Final[dict[object, Action | None]] = {}


class TwoIdentities(InvalidInput):
    """A cookie and a token in one request. Reaction: send one."""

    code = "TWO_IDENTITIES"


class CsrfRefused(Forbidden):
    """Nothing shows that our own page sent it. Reaction: load the page again."""

    code = "CSRF_REFUSED"


@cache
def acting(action: Action | None) -> Dependency:
    """What a route depends on to name its action; gives who asks. None opens the route to everybody, and is to be written out."""

    async def who(request: Request) -> Actor | None:
        return asked_of(request).actor

    _ACTIONS[who] = action
    return who


def action_of(dependant: Dependant) -> Action | None:
    """The action that a route names; where its router names one too, the route's own.

    Raises
    ------
    LookupError
        It names none.
    """
    named = [_ACTIONS[one.call] for one in dependant.dependencies if one.call in _ACTIONS]
    if not named:
        raise LookupError("a route names its action: Depends(acting(Action...)), or acting(None) where everybody may")
    return named[-1]


def has_people(connection: HTTPConnection) -> bool:
    """Whether this server keeps accounts at all."""
    return connection.app.state.people is not None


def people_of(connection: HTTPConnection) -> PeopleDesk:
    """The desk of people.

    Raises
    ------
    NoPeople
        This server keeps none.
    """
    desk: PeopleDesk | None = connection.app.state.people
    if desk is None:
        raise NoPeople
    return desk


def repeats_of(connection: HTTPConnection) -> Repeats:
    """The Idempotency-Keys of this server."""
    people_of(connection)
    repeats: Repeats = connection.app.state.repeats
    return repeats


async def identify(connection: HTTPConnection) -> Actor | None:
    """Find out who asks, and keep it; a cookie or token that is not valid (any more) is nobody.

    Raises
    ------
    TwoIdentities
        There is a cookie and a token.
    NotSignedIn
        A token was shown that is not valid: its sender wants to know.
    """
    asked = asked_of(connection)
    given = asked.given
    if given.session and given.bearer:
        raise TwoIdentities("the request carries a cookie and a token", why="nobody can say which one counts", fix="send one of the two")
    if not has_people(connection) or not (given.session or given.bearer):
        return None
    desk = people_of(connection)
    asked.actor = await asyncio.to_thread(desk.identify, given.session or None, given.bearer or None, asked.client.address)
    connection.app.state.known.note(given, asked.actor)
    if given.bearer and asked.actor is None:
        raise NotSignedIn("the token is not valid", why="it is unknown, expired, revoked or not for this address", fix="kedge login")
    return asked.actor


async def permit(connection: HTTPConnection, action: Action, subject: str = "") -> Actor | None:
    """Who asks, if they may; a refusal is an act.

    Raises
    ------
    NotSignedIn, Forbidden, StepUpRequired
        They may not.
    """
    asked = asked_of(connection)
    if not has_people(connection):
        if action is Action.READ:
            return None
        raise NoPeople
    await asyncio.to_thread(people_of(connection).require, asked.actor, action, client_of(connection), subject)
    return asked.actor


async def refuse_forged(request: Request) -> None:
    """Refuse a changing request that another site's page may have sent: of a browser, with a session or to begin one.

    Raises
    ------
    CsrfRefused
        Its origin is not shown, or the token of the session's page is missing or another.
    """
    asked = asked_of(request)
    if asked.given.bearer:
        return
    headers = request.headers
    site = headers.get("sec-fetch-site")
    if site is not None and site not in OWN_SITES:
        raise _forged(f"the browser says that it comes from {site[:20]!r}")
    if asked.actor is None or asked.actor.source is not Source.BROWSER:
        return
    if site is None and "origin" not in headers:
        raise _forged("the browser does not say where it comes from")
    session = await asyncio.to_thread(people_of(request).sessions.current, asked.given.session)
    given = headers.get(CSRF_HEADER, "")
    if session is None or not hmac.compare_digest(session.csrf.encode(), given.encode("utf-8", "replace")):
        raise _forged("X-Kedge-CSRF is missing" if not given else "X-Kedge-CSRF is not this session's")


def _forged(what: str) -> CsrfRefused:
    why = "another site's page could have sent it in your name"
    return CsrfRefused(what, why=why, fix="load the page again, or send X-Kedge-CSRF from GET /api/v1/session")
