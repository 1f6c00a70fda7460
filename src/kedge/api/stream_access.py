"""Who may listen to the stream, and for how long: as long as their session or token is worth something, and no longer.

Rules: a browser's handshake must name its page, since other sites' pages may open WebSockets too; where no header can be sent, a ticket
opens the stream once, within half a minute, so that no lasting secret stands in an address.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from kedge.api.asked import asked_of
from kedge.api.cookies import Given
from kedge.api.identity import has_people, identify, people_of, permit
from kedge.domain.errors import Forbidden, NotSignedIn
from kedge.domain.people import Actor, Source
from kedge.governance.roles import Action
from kedge.services.people.desk import PeopleDesk

TICKET_S: Final = 30
TICKETS_MAX: Final = 256
TICKET_BYTES: Final = 24

Lasting = Callable[[], Awaitable[bool]]
"""Whether who opened the stream may still listen."""


class OriginMissing(Forbidden):
    """A browser's cookie without its page. Reaction: open the server's own page."""

    code = "FOREIGN_ORIGIN"


class _Ticket(NamedTuple):
    given: Given
    actor: Actor | None
    until_s: float


class Tickets:
    """Tickets that were given out and not used yet; the oldest goes first where there are too many."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._open: OrderedDict[str, _Ticket] = OrderedDict()

    def give(self, given: Given, actor: Actor | None) -> str:
        """A new ticket for who asks."""
        text = secrets.token_urlsafe(TICKET_BYTES)
        self._open[text] = _Ticket(given, actor, self._monotonic_s() + TICKET_S)
        while len(self._open) > TICKETS_MAX:
            self._open.popitem(last=False)
        return text

    def take(self, text: str) -> tuple[Given, Actor | None]:
        """Who a ticket was given to; it is used up.

        Raises
        ------
        NotSignedIn
            It is unknown, used, or too old.
        """
        found = self._open.pop(text, None)
        if found is None or found.until_s < self._monotonic_s():
            raise NotSignedIn(
                "the ticket is not valid", why="it is unknown, used, or too old", fix="ask POST /api/v1/stream-tickets for one"
            )
        return found.given, found.actor


async def admit(websocket: WebSocket, tickets: Tickets) -> Lasting:
    """Let a client listen; gives what tells whether it still may.

    Raises
    ------
    NotSignedIn, Forbidden
        It may not.
    """
    asked = asked_of(websocket)
    ticket = websocket.query_params.get("ticket")
    if ticket is not None:
        asked.given, asked.actor = tickets.take(ticket)
    else:
        if asked.given.session and "origin" not in websocket.headers:
            raise OriginMissing("the handshake does not name its page", why="another site's page could have opened it", fix="send Origin")
        await identify(websocket)
    await permit(websocket, Action.READ)
    lasting = _lasting(websocket, asked.given, asked.actor)
    if ticket is not None and not await lasting():
        raise NotSignedIn(
            "the ticket is not valid", why="the session or token that asked for it has ended", fix="sign in, then ask for one"
        )
    return lasting


def _lasting(connection: HTTPConnection, given: Given, actor: Actor | None) -> Lasting:
    address = asked_of(connection).client.address

    async def lasts() -> bool:
        if not has_people(connection):
            return True
        return await asyncio.to_thread(_still, people_of(connection), given, actor, address)

    return lasts


def _still(desk: PeopleDesk, given: Given, actor: Actor | None, address: str) -> bool:
    if actor is None:
        return not desk.accounts_exist
    if actor.source is Source.BROWSER:
        return desk.sessions.is_live(actor.ref)
    return desk.identify(None, given.bearer, address) is not None
