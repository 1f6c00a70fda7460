"""Who may listen to the stream, how they get in, and that they are sent away when what let them in has ended."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kedge.api.cookies import Given
from kedge.api.stream_access import TICKET_S, TICKETS_MAX, Tickets
from kedge.domain.errors import NotSignedIn

from .people_world import Browser, World, in_world

HELLO = json.dumps({"op": "subscribe", "topics": ["overview"]})


async def told(socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
    """Everything that comes until the server closes."""
    async with asyncio.timeout(20):
        return [json.loads(message.data) async for message in socket if message.type is aiohttp.WSMsgType.TEXT]


async def opened(world: World, path: str = "/ws/v1", **headers: str) -> aiohttp.ClientWebSocketResponse:
    socket = await world.http.ws_connect(f"{world.url}{path}", headers=headers)
    await socket.send_str(HELLO)
    async with asyncio.timeout(20):
        assert (await socket.receive_json())["topic"] == "overview"
    return socket


async def refused(world: World, path: str = "/ws/v1", **headers: str) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        await world.http.ws_connect(f"{world.url}{path}", headers=headers)
    return error.value.status


def as_page(browser: Browser) -> dict[str, str]:
    return {"Cookie": f"__Host-kedge={browser.session_cookie}", "Host": browser.host, "Origin": browser.origin}


def test_a_page_listens_until_its_session_is_ended(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        socket = await opened(world, **as_page(ada))
        await ada.ask("DELETE", "/api/v1/session")
        last = (await told(socket))[-1]
        assert (last["type"], last["data"]["code"], last["data"]["status"]) == ("problem", "NOT_SIGNED_IN", 401)
        assert socket.close_code == 1008
        assert await refused(world) == 401

    in_world(tmp_path, then)


def test_a_step_up_gives_the_session_another_cookie_and_the_stream_goes_on(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        socket = await opened(world, **as_page(ada))
        await ada.step_up()
        async with asyncio.timeout(20):
            for _ in range(3):
                while (await socket.receive_json())["topic"] != "heartbeat":
                    pass
        await socket.close()

    in_world(tmp_path, then)


def test_a_token_listens_until_it_is_revoked(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        socket = await opened(world, Authorization=f"Bearer {await world.token(ada, 'read')}")
        (row,) = (await ada.get("/api/v1/me/tokens"))["items"]
        await ada.ask("DELETE", f"/api/v1/me/tokens/{row['token_id']}")
        assert (await told(socket))[-1]["data"]["code"] == "NOT_SIGNED_IN"

    in_world(tmp_path, then)


def test_who_listened_before_there_were_accounts_is_sent_away_with_the_first_one(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        socket = await opened(world)
        await world.first()
        assert (await told(socket))[-1]["data"]["code"] == "NOT_SIGNED_IN"

    in_world(tmp_path, then)


def test_a_ticket_opens_the_stream_once_and_for_who_asked_for_it(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        ticket = (await ada.post("/api/v1/stream-tickets")).body["ticket"]
        socket = await opened(world, f"/ws/v1?ticket={ticket}")
        assert await refused(world, f"/ws/v1?ticket={ticket}") == 401
        assert await refused(world, "/ws/v1?ticket=none") == 401
        await ada.ask("DELETE", "/api/v1/session")
        assert (await told(socket))[-1]["data"]["code"] == "NOT_SIGNED_IN"

    in_world(tmp_path, then)


def test_a_ticket_is_worth_nothing_once_the_session_that_asked_for_it_has_ended(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        ticket = (await ada.post("/api/v1/stream-tickets")).body["ticket"]
        await ada.ask("DELETE", "/api/v1/session")
        assert await refused(world, f"/ws/v1?ticket={ticket}") == 401

    in_world(tmp_path, then)


def test_a_ticket_is_worth_nothing_after_half_a_minute_and_the_oldest_goes_first() -> None:
    now = [0.0]
    tickets = Tickets(lambda: now[0])
    late = tickets.give(Given(), None)
    now[0] = TICKET_S + 0.1
    with pytest.raises(NotSignedIn):
        tickets.take(late)
    oldest = tickets.give(Given(), None)
    newest = [tickets.give(Given(), None) for _ in range(TICKETS_MAX)][-1]
    with pytest.raises(NotSignedIn):
        tickets.take(oldest)
    assert tickets.take(newest) == (Given(), None)
