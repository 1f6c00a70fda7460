"""Requests on the private socket: auth, subscribe, unsubscribe, ping, in the venue's words.

A pong follows every frame that was published before its ping was read, so a client may use it as a barrier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from kedge.domain.units import NS_PER_MS
from kedge.venues.exchange.api_keys import ApiKeys
from kedge.venues.exchange.auth import check_expires
from kedge.venues.exchange.disconnect_cancel import TOPIC, DisconnectCancel
from kedge.venues.exchange.envelope import decode_object
from kedge.venues.exchange.frames import PARAMS_ERROR, private_ack, private_pong
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.private_feed import PrivateFeed
from kedge.venues.exchange.routes import ApiError
from kedge.venues.exchange.socket_link import Link
from kedge.venues.exchange.socket_settings import SocketSettings
from kedge.venues.exchange.subscriptions import PRIVATE_TOPICS, mixes_categories, topic_names

NOT_AUTHORIZED: Final = "Request not authorized"
REPEATED_AUTH: Final = "Repeat auth"


class PrivateSocket:
    """Serves `/v5/private`. A request is granted whole or, naming the first topic that is wrong, not at all."""

    def __init__(
        self, hall: Hall, keys: ApiKeys, feed: PrivateFeed, protection: DisconnectCancel, settings: SocketSettings,
        now_s: Callable[[], float],
    ) -> None:  # fmt: skip
        self._hall, self._keys, self._feed, self._protection = hall, keys, feed, protection
        self._settings, self._now_s = settings, now_s

    async def hear(self, link: Link, data: bytes) -> None:
        """Answer one message; the next is read when this returns."""
        request = decode_object(data) or {}
        op, req_id = request.get("op"), request.get("req_id")
        if op == "ping":
            link.write(private_pong(link.conn_id, req_id, self._hall.clock.wall_ns() // NS_PER_MS))
        elif op == "auth":
            link.write(private_ack("auth", link.conn_id, req_id, self._auth(link, request)))
        elif op == "subscribe" or op == "unsubscribe":
            await asyncio.sleep(self._settings.ack_delay_s)
            link.write(private_ack(op, link.conn_id, req_id, self._subscribe(link, op, request)))
        else:
            link.write(private_ack(op if isinstance(op, str) else "", link.conn_id, req_id, PARAMS_ERROR))

    def end(self, link: Link) -> None:
        """The connection is gone."""
        self._feed.dismiss(link)
        self._protection.release(link, self._now_s())

    def _auth(self, link: Link, request: dict[str, Any]) -> str:
        """Why not; empty when the link is authenticated now."""
        args = request.get("args")
        if not isinstance(args, list) or len(args) != 3:
            return PARAMS_ERROR
        if link.key is not None:
            return REPEATED_AUTH
        key = check_expires(self._keys, args[0], args[1], args[2], link.ip, self._hall.clock.wall_ns())
        if isinstance(key, ApiError):
            return key.message
        link.key = key
        self._feed.admit(link)
        return ""

    def _subscribe(self, link: Link, op: str, request: dict[str, Any]) -> str:
        """Why not; empty when it is done."""
        names = topic_names(request)
        if names is None or mixes_categories(names):
            return PARAMS_ERROR
        if link.key is None:
            return NOT_AUTHORIZED
        if op == "unsubscribe":
            self._leave(link, names)
            return ""
        for n, name in enumerate(names):
            if name not in PRIVATE_TOPICS:
                return f"error:handler not found,topic:{name}"
            if name in link.topics or name in names[:n]:
                return f"error:already subscribed,topic:{name}"
        link.topics.update(dict.fromkeys(names))
        if TOPIC in names:
            self._protection.protect(link)
        return ""

    def _leave(self, link: Link, names: list[str]) -> None:
        for name in names:
            link.topics.pop(name, None)
        if TOPIC in names:
            self._protection.release(link, self._now_s())
