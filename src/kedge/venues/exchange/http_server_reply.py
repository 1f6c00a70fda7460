"""Answers as bytes on the wire, without the cost of a general response object.

The server answers thousands of small requests a second on one core; headers are few and known, so they are written in one piece.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

JSON: Final = b"application/json; charset=utf-8"
TEXT: Final = b"text/plain; charset=utf-8"

UNSENT_MAX: Final = 8 * 1024 * 1024
"""Bytes a client may leave unread before its connection is cut."""

GONE_S: Final = 0.05
"""How often a connection that is never answered is looked at, whether its client has gone."""

_STATUS: Final = {status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}


class WireReply(web.StreamResponse):
    """A whole answer; `headers` are complete lines, each ended by CR LF."""

    def __init__(self, body: bytes, *, status: int = 200, content_type: bytes = JSON, headers: bytes = b"") -> None:
        super().__init__(status=status)
        self._wire = b"%bContent-Type: %b\r\nContent-Length: %d\r\n%b" % (_STATUS[status], content_type, len(body), headers)
        self._content = body
        self._persists = False

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after it."""
        return self._persists

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write it.

        Raises
        ------
        ConnectionResetError
            The client has gone, or does not read what is sent to it.
        """
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        if transport.get_write_buffer_size() > UNSENT_MAX:
            transport.abort()
            raise ConnectionResetError("the client does not read")
        self._persists = bool(request.keep_alive)
        end = b"\r\n" if self._persists else b"Connection: close\r\n\r\n"
        transport.write(self._wire + end + (b"" if request.method == "HEAD" else self._content))
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


class DroppedReply(web.StreamResponse):
    """No answer at all: the connection is cut, and the client does not learn what became of its request."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Cut the connection.

        Raises
        ------
        ConnectionResetError
            Always: nothing can follow.
        """
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the answer was dropped on purpose")


class HungReply(web.StreamResponse):
    """No answer at all, on a connection that stays until its client gives up."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        """Wait for the client to go.

        Raises
        ------
        ConnectionResetError
            Always, once it has.
        """
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(GONE_S)
        raise ConnectionResetError("the client has gone without an answer, on purpose")
