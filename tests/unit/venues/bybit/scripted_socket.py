"""A WebSocket server that does what a test tells it: answers obligingly or not, sends raw frames, cuts connections.

It knows the words of the venue's three sockets and nothing of our client or our exchange.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web


class Peer:
    """The server's end of one connection."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket, self.request = socket, request
        self.path = request.path
        self.heard: list[dict[str, Any]] = []

    async def send(self, *frames: Any) -> None:
        for frame in frames:
            await self.socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))

    def cut(self) -> None:
        """As a killed server or a pulled cable: no close frame."""
        assert self.request.transport is not None
        self.request.transport.abort()

    async def leave(self) -> None:
        await self.socket.close(code=WSCloseCode.GOING_AWAY, message=b"restarting")


class ScriptedVenue:
    """Accepts connections on any path and answers auth, subscribe and ping unless told not to.

    Attributes
    ----------
    refuse_auth, refuse_topic : str
        The venue's words of a refusal; empty to accept.
    now_ms : callable, optional
        The venue's clock: an authentication that has expired by it is refused.
    refuse : dict
        Topics that are refused, each with the venue's words, while the others are taken.
    cut_on : str
        An argument at which the connection is cut, once.
    mute : set of str
        Operations that get no answer.
    on_request : callable, optional
        Gets requests of the trade socket, returns the answer's fields or None for silence.
    """

    def __init__(self) -> None:
        self.refuse_auth = self.refuse_topic = ""
        self.auth_code = 10004
        self.now_ms: Callable[[], int] | None = None
        self.refuse: dict[str, str] = {}
        self.cut_on = ""
        self.mute: set[str] = set()
        self.peers: list[Peer] = []
        self.on_request: Callable[[Peer, dict[str, Any]], Any] | None = None
        self.on_ping: Callable[[Peer], Coroutine[Any, Any, None]] | None = None
        self.turned_away = 0
        self.open = True
        self._changed = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self.base = ""

    async def __aenter__(self) -> ScriptedVenue:
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"ws://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for peer in self.peers:
            if peer.request.transport is not None:
                peer.request.transport.abort()
        assert self._runner is not None
        await self._runner.cleanup()

    async def until(self, condition: Callable[[], Any], within_s: float = 30.0) -> Any:
        """Wait until `condition()` is true; looked at whenever a frame or a connection comes."""
        async with asyncio.timeout(within_s):
            while not (found := condition()):
                self._changed.clear()
                await self._changed.wait()
        return found

    async def peer(self, number: int, within_s: float = 30.0) -> Peer:
        """The `number`th connection, once it has subscribed or authenticated."""
        return await self.until(lambda: self.peers[number] if len(self.peers) > number and self.peers[number].heard else None, within_s)

    def heard(self, op: str) -> list[dict[str, Any]]:
        return [frame for peer in self.peers for frame in peer.heard if frame.get("op") == op]

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self.open:
            self.turned_away += 1
            self._changed.set()
            return web.Response(status=503, text="maintenance")
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        peer = Peer(socket, request)  # type: ignore[arg-type]
        self.peers.append(peer)
        self._changed.set()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(peer, json.loads(message.data))
        except (ConnectionResetError, RuntimeError):
            pass
        self._changed.set()
        return socket

    async def _take(self, peer: Peer, frame: dict[str, Any]) -> None:
        peer.heard.append(frame)
        op = str(frame.get("op"))
        if self.cut_on and self.cut_on in frame.get("args", ()):
            self.cut_on = ""
            peer.cut()
        elif op not in self.mute:
            if op == "ping" and self.on_ping is not None:
                await self.on_ping(peer)
            answer = self._answer(peer, op, frame)
            if answer is not None:
                await peer.send(answer)
        self._changed.set()

    def _answer(self, peer: Peer, op: str, frame: dict[str, Any]) -> Any:
        if peer.path.endswith("/trade"):
            return self._trade_answer(peer, op, frame)
        echo = {"req_id": frame.get("req_id", ""), "conn_id": "c"}
        if op == "ping":
            private = peer.path.endswith("/private")
            return {**echo, "op": "pong", "args": ["1"]} if private else {**echo, "success": True, "ret_msg": "pong", "op": "ping"}
        refused = self._auth_words(frame) if op == "auth" else self.refuse_topic if op == "subscribe" else ""
        if op == "subscribe":
            refused = refused or next((self.refuse[topic] for topic in frame["args"] if topic in self.refuse), "")
        return {**echo, "success": not refused, "ret_msg": refused, "op": op}

    def _auth_words(self, frame: dict[str, Any]) -> str:
        expired = self.now_ms is not None and int(frame["args"][1]) <= self.now_ms()
        return self.refuse_auth or ("Params Error" if expired else "")

    def _trade_answer(self, peer: Peer, op: str, frame: dict[str, Any]) -> Any:
        if op == "ping":
            return {"retCode": 0, "retMsg": "OK", "op": "pong", "data": ["1"], "connId": "c"}
        if op == "auth":
            words = self._auth_words(frame)
            return {"retCode": self.auth_code if words else 0, "retMsg": words or "OK", "op": "auth", "connId": "c"}
        fields = self.on_request(peer, frame) if self.on_request is not None else {}
        if fields is None:
            return None
        ids = {"orderId": "venue-1", "orderLinkId": frame["args"][0].get("orderLinkId", "")}
        return {"reqId": frame["reqId"], "retCode": 0, "retMsg": "OK", "op": op, "data": ids, "retExtInfo": {}, "connId": "c", **fields}
