"""Disconnect protection: resting orders go when their owner is gone for too long, stops stay."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.builders import AAA
from tests.unit.venues.exchange.socket_room import OWNER, Room, in_room

from kedge.domain.orders import Side
from kedge.simulation.venue_types import CancelType, Status
from kedge.venues.exchange.socket_settings import SocketSettings

ALL = ("order", "execution", "position", "wallet")


class Away:
    """A room whose seconds are set by hand, an account protected for ten of them, and its resting orders."""

    def __init__(self) -> None:
        self.now_s = 0.0

    async def lay(self, room: Room) -> None:
        room.hall.disconnect_windows_s[OWNER] = 10
        self.active = room.place(Side.BUY, 1_000, 990)
        self.waiting = room.place(Side.BUY, 1_000, 1_100, trigger_ticks=1_080, trigger_direction=1)

    def state(self, room: Room) -> list[Status]:
        found = [room.venue.find_order(OWNER, AAA, row.order_id) for row in (self.active, self.waiting)]
        return [row.status for row in found if row is not None]

    async def beat(self, room: Room, now_s: float) -> None:
        while room.sockets.connections["private"]:
            await asyncio.sleep(0)
        self.now_s = now_s
        room.sockets.beat(now_s)


STAYS, GONE = [Status.NEW, Status.UNTRIGGERED], [Status.CANCELLED, Status.UNTRIGGERED]


def test_resting_orders_go_when_all_protected_connections_have_been_gone_for_the_window(caplog: pytest.LogCaptureFixture) -> None:
    away = Away()

    async def body(room: Room) -> None:
        await away.lay(room)
        first, second = await room.private("dcp.future"), await room.private("order", "dcp.future")
        await first.socket.close()
        room.sockets.beat(100.0)
        assert away.state(room) == STAYS
        away.now_s = 100.0
        await second.socket.close()
        await away.beat(room, 109.9)
        assert away.state(room) == STAYS
        await away.beat(room, 110.0)
        assert away.state(room) == GONE
        watcher = await room.private("order")
        room.sockets.beat(200.0)
        assert await watcher.until_pong() == []
        row = room.venue.find_order(OWNER, AAA, away.active.order_id)
        assert row is not None
        assert row.cancel_type is CancelType.DISCONNECTED

    in_room(body, now_s=lambda: away.now_s, settings=SocketSettings(ack_delay_s=0.0, idle_s=10_000.0))
    assert f"account {OWNER} was disconnected for 10 s: cancelled 1 orders" in caplog.text


def test_a_protected_connection_that_returns_in_time_calls_it_off() -> None:
    away = Away()

    async def body(room: Room) -> None:
        await away.lay(room)
        await (await room.private("dcp.future")).socket.close()
        await away.beat(room, 9.0)
        await room.private("dcp.future")
        room.sockets.beat(60.0)
        assert away.state(room) == STAYS

    in_room(body, now_s=lambda: away.now_s)


@pytest.mark.parametrize("topics", [("order",), ("dcp.option",)])
def test_connections_without_the_topic_protect_nothing(topics: tuple[str, ...]) -> None:
    away = Away()

    async def body(room: Room) -> None:
        await away.lay(room)
        await (await room.private(*topics)).socket.close()
        await away.beat(room, 1_000.0)
        assert away.state(room) == STAYS

    in_room(body, now_s=lambda: away.now_s)


def test_an_account_that_asked_for_no_protection_keeps_its_orders() -> None:
    away = Away()

    async def body(room: Room) -> None:
        await away.lay(room)
        del room.hall.disconnect_windows_s[OWNER]
        await (await room.private("dcp.future")).socket.close()
        await away.beat(room, 1_000.0)
        assert away.state(room) == STAYS

    in_room(body, now_s=lambda: away.now_s)


def test_taking_the_topic_back_starts_the_window_too() -> None:
    away = Away()

    async def body(room: Room) -> None:
        await away.lay(room)
        client = await room.private("dcp.future", "order")
        assert (await client.ask({"op": "unsubscribe", "args": ["dcp.future"]}))["success"]
        room.sockets.beat(10.0)
        (frame,) = await client.until_pong()
        (row,) = frame["data"]
        assert (row["orderId"], row["orderStatus"], row["cancelType"]) == (away.active.order_id, "Cancelled", "CancelByDCP")
        assert away.state(room) == GONE

    in_room(body, now_s=lambda: away.now_s)


def test_the_stop_of_a_position_outlives_its_owners_connections() -> None:
    away = Away()

    async def body(room: Room) -> None:
        room.hall.disconnect_windows_s[OWNER] = 10
        room.place(Side.BUY, 1_000, stop_loss_ticks=900)
        await (await room.private("dcp.future")).socket.close()
        await away.beat(room, 11.0)
        assert room.venue.position(OWNER, AAA).stop_loss_ticks == 900

    in_room(body, now_s=lambda: away.now_s)


def test_the_background_beat_does_the_looking_by_itself(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("kedge.venues.exchange.sockets.BEAT_S", 0.001)

    async def body(room: Room) -> None:
        room.hall.disconnect_windows_s[OWNER] = 0
        row = room.place(Side.BUY, 1_000, 990)
        protected, watcher = await room.private("dcp.future"), await room.private("order")
        calls = iter([None])
        cancel_all = room.venue.cancel_all

        def once_broken(*arguments: Any, **named: Any) -> Any:
            if next(calls, 1) is None:
                raise RuntimeError("a bad moment")
            return cancel_all(*arguments, **named)

        monkeypatch.setattr(room.venue, "cancel_all", once_broken)
        await protected.socket.close()
        frame = await watcher.next()
        assert frame["data"][0]["orderId"] == row.order_id
        assert frame["data"][0]["cancelType"] == "CancelByDCP"

    in_room(body)
    assert "it is tried again" in caplog.text
