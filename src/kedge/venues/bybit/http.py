"""One HTTP exchange with the venue: pooled connections, the exact bytes that were signed, bounded times and sizes.

Rules: what could not be sent is `NotSent` and certainly did nothing; whatever fails afterwards is `NoReply` and may have been
carried out. The URL is never encoded again, redirects are not followed, cookies and proxies of the environment are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

import aiohttp
from yarl import URL

from kedge.domain.errors import InvalidInput

BODY_MAX: Final = 16 * 1024 * 1024
"""The longest answer that is read; a thousand instruments take one megabyte."""

CONNECT_S: Final = 3.0
_CHUNK: Final = 64 * 1024
_DIGITS_MAX: Final = 18
_JSON: Final = {"Content-Type": "application/json"}


class TimeClass(Enum):
    """How patient a request is."""

    ORDER = "order"
    READ = "read"
    LONG_READ = "long read"
    CLOCK = "clock"


TIMES_S: Final = MappingProxyType({TimeClass.ORDER: 5.0, TimeClass.READ: 8.0, TimeClass.LONG_READ: 20.0, TimeClass.CLOCK: 4.0})
"""How long a whole answer may take, in seconds, connecting included."""


class NotSent(Exception):
    """No connection: the request never left this machine."""


class NoReply(Exception):
    """The request may have left, and no whole answer came."""


class WireReply(NamedTuple):
    """An answer as it came: HTTP status, body, and the limit headers; None where a header is missing or no number."""

    status: int
    body: bytes
    limit: int | None
    remaining: int | None
    reset_ms: int | None


class Wire:
    """Two pools of connections to one host: reads that hang take none from orders, nor from the clock that orders need.

    Parameters
    ----------
    base_url : str
        Scheme, host and port, such as `https://api.bybit.com` or `http://127.0.0.1:9000`; no path.
    connections : int
        Most connections at once, in each pool.
    body_max : int
        Longest answer in bytes.
    times_s : mapping
        Time-outs by class, in seconds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connections: int = 32,
        body_max: int = BODY_MAX,
        times_s: Mapping[TimeClass, float] = TIMES_S,
    ) -> None:
        self.base_url = _checked_base(base_url)
        self._connections = connections
        self._body_max = body_max
        self._times_s = times_s
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._closed = False

    def _open(self, time_class: TimeClass) -> aiohttp.ClientSession:
        if self._closed:
            raise NotSent(f"the client of {self.base_url} was closed")
        is_urgent = time_class in (TimeClass.ORDER, TimeClass.CLOCK)
        session = self._sessions.get(is_urgent)
        if session is None:
            session = self._sessions[is_urgent] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=30.0, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                raise_for_status=False,
                headers={"User-Agent": "kedge", "Accept": "application/json"},
            )
        return session

    async def close(self) -> None:
        """Close the pools for good: requests under way fail, and none leaves any more."""
        self._closed = True
        for session in self._sessions.values():
            await session.close()

    async def get(self, path: str, query: str, headers: dict[str, str], time_class: TimeClass) -> WireReply:
        """GET with exactly this query string."""
        url = URL(f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}", encoded=True)
        return await self._exchange("GET", url, None, headers, time_class)

    async def post(self, path: str, body: bytes, headers: dict[str, str], time_class: TimeClass) -> WireReply:
        """POST exactly these bytes."""
        return await self._exchange("POST", URL(f"{self.base_url}{path}", encoded=True), body, _JSON | headers, time_class)

    async def _exchange(self, method: str, url: URL, body: bytes | None, headers: dict[str, str], time_class: TimeClass) -> WireReply:
        total_s = self._times_s[time_class]
        timeout = aiohttp.ClientTimeout(total=total_s, connect=min(CONNECT_S, total_s * 0.8))
        try:
            async with self._open(time_class).request(
                method, url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                text = await self._read(response)
                fields = response.headers
                return WireReply(
                    response.status,
                    text,
                    header_number(fields.get("X-Bapi-Limit")),
                    header_number(fields.get("X-Bapi-Limit-Status")),
                    header_number(fields.get("X-Bapi-Limit-Reset-Timestamp")),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(f"no connection to {self.base_url}: {_words(error)}") from None
        except TimeoutError:
            raise NoReply(f"no whole answer within {total_s:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NoReply(f"the connection broke: {_words(error)}") from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(_CHUNK):
            size += len(part)
            if size > self._body_max:
                response.close()
                raise NoReply(f"the answer is longer than {self._body_max} bytes")
            parts.append(part)
        return b"".join(parts)


def _checked_base(base_url: str) -> str:
    url = URL(base_url)
    if url.scheme not in ("http", "https") or not url.host or url.raw_path not in ("", "/") or url.query_string or url.user:
        raise InvalidInput(
            f"the venue's address is {base_url!r}",
            why="it must be a scheme and a host, http for loopback only",
            fix="write it as https://api.bybit.com",
        )
    if url.scheme == "http" and url.host not in ("127.0.0.1", "localhost", "::1"):
        raise InvalidInput(
            f"the venue's address is {base_url!r}", why="keys and orders would travel unencrypted", fix="use https, or a loopback address"
        )
    return base_url.rstrip("/")


def header_number(text: str | None) -> int | None:
    """A count or a time of a limit header; None where it is missing or no sensible number."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else None


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
