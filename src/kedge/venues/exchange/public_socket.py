"""Requests on the public socket: subscribe, unsubscribe, ping, in the venue's words."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from kedge.venues.exchange.envelope import decode_object
from kedge.venues.exchange.frames import PARAMS_ERROR, public_ack, public_pong
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.public_feed import PublicFeed
from kedge.venues.exchange.socket_link import Link
from kedge.venues.exchange.socket_settings import SocketSettings
from kedge.venues.exchange.subscriptions import public_topic, topic_names

_UNSUBSCRIBE: Final = "unsubscribe"


class PublicSocket:
    """Serves `/v5/public/linear`. A request is granted whole or, naming the first topic that is wrong, not at all."""

    def __init__(self, hall: Hall, feed: PublicFeed, settings: SocketSettings) -> None:
        self._hall, self._feed, self._settings = hall, feed, settings

    async def hear(self, link: Link, data: bytes) -> None:
        """Answer one message; the next is read when this returns."""
        request = decode_object(data) or {}
        op, req_id = request.get("op"), request.get("req_id")
        if op == "ping":
            link.write(public_pong(link.conn_id, req_id))
            return
        names = topic_names(request)
        if op not in ("subscribe", _UNSUBSCRIBE) or names is None:
            link.write(public_ack(op if isinstance(op, str) else "", link.conn_id, req_id, PARAMS_ERROR))
        elif op == _UNSUBSCRIBE:
            self._leave(link, names)
            link.write(public_ack(op, link.conn_id, req_id))
        else:
            await self._subscribe(link, names, req_id)

    def end(self, link: Link) -> None:
        """The connection is gone."""
        self._leave(link, list(link.topics))

    async def _subscribe(self, link: Link, names: list[str], req_id: Any) -> None:
        await asyncio.sleep(self._settings.ack_delay_s)
        refusal = self._refusal(link, names)
        link.write(public_ack("subscribe", link.conn_id, req_id, refusal))
        if refusal:
            return
        await asyncio.sleep(self._settings.ack_delay_s)
        for name in names:
            topic = public_topic(name, self._hall.instruments)
            if topic is not None:
                self._feed.join(link, name, topic)

    def _refusal(self, link: Link, names: list[str]) -> str:
        for n, name in enumerate(names):
            if public_topic(name, self._hall.instruments) is None:
                return f"error:handler not found,topic:{name}"
            if name in link.topics or name in names[:n]:
                return f"error:already subscribed,topic:{name}"
        most = self._settings.topic_chars_max
        chars = sum(map(len, names)) + sum(map(len, link.topics))
        return f"error:args exceed {most} characters on one connection" if chars > most else ""

    def _leave(self, link: Link, names: list[str]) -> None:
        for name in names:
            topic = public_topic(name, self._hall.instruments)
            if topic is not None and name in link.topics:
                self._feed.leave(link, name, topic)
