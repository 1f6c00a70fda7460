"""HTTP as uvicorn speaks it, with our answers to what is no HTTP, and a bound on what a request may say before its body."""

from __future__ import annotations

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from kedge.api.guard import HEADERS, NO_STORE
from kedge.api.problems import PROBLEM_JSON, problem

HEAD_MAX_BYTES: Final = 64 * 1024
_ORIGIN_FORM: Final = (b"/", b"*")
"""How a target may begin: one that names a host besides (`http://...`) could say another than the Host header, and we read only that."""


class StrictHttp(HttpToolsProtocol):
    """One connection."""

    _head_bytes = 0
    _is_begun = False

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head_bytes = 0
        self._is_begun = False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """The target, or a piece of it."""
        if not self._is_begun and not url.startswith(_ORIGIN_FORM):
            raise ValueError("the target names a host")
        self._is_begun = True
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; too many of them end the request."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > HEAD_MAX_BYTES:
            raise ValueError("the headers are too long")
        super().on_header(name, value)

    def send_400_response(self, msg: str) -> None:
        """What cannot be read is a problem as any other, and the connection ends."""
        if self._head_bytes > HEAD_MAX_BYTES:
            answer = problem(431, "HEADERS_TOO_LONG", "the headers are too long", f"at most {HEAD_MAX_BYTES} bytes")
        else:
            answer = problem(400, "NO_HTTP", "this is no request as in HTTP/1.1", "see docs/api.md", detail=msg)
        status = b"400 Bad Request" if answer.status_code == 400 else b"431 Request Header Fields Too Large"
        headers = [*HEADERS, NO_STORE, (b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(answer.body)).encode())]
        lines = [b"HTTP/1.1 " + status, *(name + b": " + value for name, value in headers), b"connection: close"]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body))
        self.transport.close()


class StrictStream(WebSocketsSansIOProtocol):
    """One WebSocket; a handshake that is answered with a problem counts as answered, which uvicorn would log as an error."""

    async def send(self, message: Any) -> None:
        """One message of the application."""
        await super().send(message)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True
