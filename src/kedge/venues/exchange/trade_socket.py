"""Requests on the trade socket: auth once, then orders made, changed and cancelled, one after another as they came.

Order of checks: session, time window, key, request budget, parameters, then the venue's own rules. An answer says that the venue took
or refused a request; what became of an order is told on the private socket. Nothing is signed but the auth.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from itertools import count
from typing import Any, Final, NamedTuple, Protocol

from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.simulation.faults_armed import Arrival
from kedge.venues.exchange import order_ops
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.auth import check_expires, check_permission, check_window
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.envelope import decode_object, encode
from kedge.venues.exchange.frames import text_frame, trade_ack
from kedge.venues.exchange.hall import Hall
from kedge.venues.exchange.http_server import Fate
from kedge.venues.exchange.rate_limits import Allowance, RateLimits
from kedge.venues.exchange.routes import ORDERS, ApiError, Reply
from kedge.venues.exchange.socket_link import Link
from kedge.venues.exchange.socket_settings import SocketSettings

REQUEST_ID_MAX: Final = 36

_log: Final = logging.getLogger("kedge.exchange.sockets")

_NOT_AUTHORIZED: Final = ApiError(Code.API_KEY, "Request not authorized")
_UNTOUCHED: Final = Fate()
_BAD_ARGS: Final = ApiError.parameter("params error: args must hold exactly one object")
_BAD_REQUEST_ID: Final = ApiError.parameter(f"params error: reqId must be a text of at most {REQUEST_ID_MAX} characters")
_BAD_HEADER: Final = ApiError.parameter("params error: header must be an object with X-BAPI-TIMESTAMP")


class Meddler(Protocol):
    """Faults to order, asked for every request that passed all checks, and on its arrival."""

    def arrival(self, path: str, account: str) -> Arrival | None:
        """What happens to a request before it is looked at."""

    def fate(self, path: str, account: str) -> Fate | None:
        """What happens to a request."""

    def answer_instead(self, path: str, account: str) -> ApiError | None:
        """What is answered to a request that was carried out; None for the truth."""


class _Op(NamedTuple):
    """An operation: its budget, the endpoint it stands for, and what carries it out (a batch takes how many orders are allowed)."""

    group: str
    path: str
    single: Callable[[Hall, str, dict[str, Any]], bytes | ApiError] | None
    batch: Callable[[Hall, str, dict[str, Any], int | None], Reply | ApiError] | None


_OPS: Final[dict[str, _Op]] = {
    "order.create": _Op("order.create", "/v5/order/create", order_ops.create, None),
    "order.amend": _Op("order.amend", "/v5/order/amend", order_ops.amend, None),
    "order.cancel": _Op("order.cancel", "/v5/order/cancel", order_ops.cancel, None),
    "order.create-batch": _Op("order.create-batch", "/v5/order/create-batch", None, order_ops.create_batch),
    "order.amend-batch": _Op("order.amend-batch", "/v5/order/amend-batch", None, order_ops.amend_batch),
    "order.cancel-batch": _Op("order.cancel-batch", "/v5/order/cancel-batch", None, order_ops.cancel_batch),
}


class _Tally:
    """Counts requests within a second of the wall; cheaper than a sliding window, and the venue does not publish which it keeps."""

    __slots__ = ("_most", "_since_ns", "_count")

    def __init__(self, most: int) -> None:
        self._most, self._since_ns, self._count = most, 0, 0

    def admits(self, wall_ns: int) -> bool:
        """Count one; False when it is one too many."""
        if not 0 <= wall_ns - self._since_ns < NS_PER_S:
            self._since_ns, self._count = wall_ns, 0
        self._count += 1
        return self._count <= self._most


class _Session:
    """What is remembered of one connection: the request ids it used lately, how often it and its address asked, overtaken answers."""

    __slots__ = ("ids", "own", "address", "overtaken")

    def __init__(self, own: _Tally, address: _Tally) -> None:
        self.ids: dict[str, None] = {}
        self.overtaken: list[bytes] = []
        self.own, self.address = own, address


class TradeSocket:
    """Serves `/v5/trade`.

    Parameters
    ----------
    limits : RateLimits
        Shared with the endpoints over HTTP.
    meddler : Meddler, optional
    """

    def __init__(
        self, hall: Hall, keys: ApiKeys, limits: RateLimits, settings: SocketSettings, meddler: Meddler | None = None
    ) -> None:  # fmt: skip
        self._hall, self._keys, self._limits, self._settings, self._meddler = hall, keys, limits, settings, meddler
        self._addresses: dict[str, _Tally] = {}
        self._sessions: dict[Link, _Session] = {}
        self._trace_prefix, self._requests = os.urandom(8).hex(), count(1)

    async def hear(self, link: Link, data: bytes) -> None:
        """Answer one message; the next is read when this returns."""
        request = decode_object(data) or {}
        op = request.get("op")
        found = _OPS.get(op) if isinstance(op, str) else None
        if found is None:
            link.write(self._other(link, op, request))
            return
        if not await self._arrives(link, found.path):
            return
        outcome, allowance, fate = self._serve(link, found, request)
        if fate.delay_s:
            await asyncio.sleep(fate.delay_s)
        if fate.drop:
            link.cut("the answer was dropped on purpose")
        elif not fate.hang:
            self._send(link, self._answer(link, str(op), request.get("reqId"), outcome, allowance), fate)

    def end(self, link: Link) -> None:
        """The connection is gone."""
        self._sessions.pop(link, None)
        if not any(other.ip == link.ip for other in self._sessions):
            self._addresses.pop(link.ip, None)

    async def _arrives(self, link: Link, path: str) -> bool:
        """Let a request take its time; False when it is lost on the way."""
        arrival = self._meddler.arrival(path, link.account) if self._meddler is not None else None
        if arrival is not None and arrival.delay_ms:
            await asyncio.sleep(arrival.delay_ms / 1_000)
        return arrival is None or not arrival.is_lost

    def _send(self, link: Link, answer: bytes, fate: Fate) -> None:
        """Write an answer when its time has come, and those that it overtakes after it."""
        session = self._sessions.get(link)
        if session is not None and fate.overtaken:
            session.overtaken.append(answer)
            return
        frames = answer * 2 if fate.doubled else answer
        if session is not None and session.overtaken:
            frames += b"".join(session.overtaken)
            session.overtaken.clear()
        if self._settings.answer_delay_s:
            asyncio.get_running_loop().call_later(self._settings.answer_delay_s, link.write, frames)
        else:
            link.write(frames)

    # --- everything but orders -------------------------------------------------------------------------------------------

    def _other(self, link: Link, op: Any, request: dict[str, Any]) -> bytes:
        req_id = request.get("reqId")
        if op == "ping":
            return trade_ack("pong", link.conn_id, req_id, 0, "OK", [str(self._hall.clock.wall_ns() // NS_PER_MS)])
        name = op if isinstance(op, str) else ""
        refusal = self._auth(link, request) if op == "auth" else ApiError(Code.UNKNOWN_OP)
        if refusal is None:
            return trade_ack(name, link.conn_id, req_id, 0, "OK")
        return trade_ack(name, link.conn_id, req_id, refusal.code, refusal.message)

    def _auth(self, link: Link, request: dict[str, Any]) -> ApiError | None:
        args = request.get("args")
        if not isinstance(args, list) or len(args) != 3:
            return ApiError.parameter("Params Error")
        if link.key is not None:
            return ApiError(Code.REPEATED_AUTH)
        key = check_expires(self._keys, args[0], args[1], args[2], link.ip, self._hall.clock.wall_ns())
        if isinstance(key, ApiError):
            return key
        if sum(other.account == key.account for other in self._sessions) >= self._settings.sessions_max:
            return ApiError(Code.API_KEY, "Too many sessions under the same UID")
        link.key = key
        settings, speed = self._settings, self._hall.speed
        address = self._addresses.setdefault(link.ip, _Tally(settings.address_requests_max * speed))
        self._sessions[link] = _Session(_Tally(settings.session_requests_max * speed), address)
        return None

    # --- orders ----------------------------------------------------------------------------------------------------------

    def _serve(self, link: Link, op: _Op, request: dict[str, Any]) -> tuple[bytes | Reply | ApiError, Allowance | None, Fate]:
        """What is answered, what of the budget is left, and what happens to the answer."""
        wall_ns = self._hall.clock.wall_ns()
        refusal = self._session_refusal(link, request, wall_ns) or self._request_refusal(link.key, request, wall_ns)
        if refusal is not None:
            return refusal, None, _UNTOUCHED
        args = request.get("args")
        if not isinstance(args, list) or len(args) != 1 or not isinstance(args[0], dict):
            return _BAD_ARGS, None, _UNTOUCHED
        params: dict[str, Any] = args[0]
        allowance, allowed = self._take(link.account, op, params, wall_ns)
        if allowance is not None and not allowance.ok:
            return ApiError(Code.TOO_MANY_VISITS), allowance, _UNTOUCHED
        fate = (self._meddler.fate(op.path, link.account) if self._meddler is not None else None) or _UNTOUCHED
        if fate.error is not None:
            return fate.error, allowance, _UNTOUCHED
        outcome: bytes | Reply | ApiError = self._run(link.account, op, params, allowed)
        if self._meddler is not None and not isinstance(outcome, ApiError):
            outcome = self._meddler.answer_instead(op.path, link.account) or outcome
        return outcome, allowance, fate

    def _session_refusal(self, link: Link, request: dict[str, Any], wall_ns: int) -> ApiError | None:
        """Whether this connection may ask at all, and with this request id."""
        session = self._sessions.get(link)
        if session is None:
            return _NOT_AUTHORIZED
        if not session.own.admits(wall_ns):
            return ApiError(Code.TOO_MANY_REQUESTS)
        if not session.address.admits(wall_ns):
            return ApiError(Code.IP_LIMIT)
        req_id = request.get("reqId")
        if req_id is None:
            return None
        if not isinstance(req_id, str) or len(req_id) > REQUEST_ID_MAX:
            return _BAD_REQUEST_ID
        ids = session.ids
        if req_id in ids:
            return ApiError(Code.DUPLICATE_REQUEST_ID)
        ids[req_id] = None
        if len(ids) > self._settings.request_ids_kept:
            del ids[next(iter(ids))]
        return None

    def _request_refusal(self, key: ApiKey | None, request: dict[str, Any], wall_ns: int) -> ApiError | None:
        """Whether the request is of now, and of a key that is still good for orders."""
        header = request.get("header")
        if not isinstance(header, dict):
            return _BAD_HEADER
        late = check_window(header.get("X-BAPI-TIMESTAMP"), header.get("X-BAPI-RECV-WINDOW"), wall_ns)
        if late is not None:
            return late
        if key is None or self._keys.find(key.key) is not key:
            return ApiError(Code.API_KEY)
        if key.is_expired(wall_ns):
            return ApiError(Code.KEY_EXPIRED)
        return check_permission(key, ORDERS, writes=True)

    def _take(self, account: str, op: _Op, params: dict[str, Any], wall_ns: int) -> tuple[Allowance | None, int | None]:
        """Take out of the budget; of a batch that does not fit whole, as many of its first orders as do."""
        if op.batch is None:
            return self._limits.take(account, op.group, wall_ns), None
        cost = order_ops.batch_size(params)
        allowance = self._limits.take(account, op.group, wall_ns, cost)
        if allowance is None or allowance.ok or not allowance.remaining:
            return allowance, None
        return self._limits.take(account, op.group, wall_ns, allowance.remaining), allowance.remaining

    def _run(self, account: str, op: _Op, params: dict[str, Any], allowed: int | None) -> bytes | Reply | ApiError:
        try:
            if op.single is not None:
                return op.single(self._hall, account, params)
            assert op.batch is not None
            return op.batch(self._hall, account, params, allowed)
        except Exception:
            _log.exception("%s failed; the client is told that the outcome is unknown", op.path)
            return ApiError(Code.SERVER_ERROR)

    # --- answers ---------------------------------------------------------------------------------------------------------

    def _answer(self, link: Link, op: str, req_id: Any, outcome: bytes | Reply | ApiError, allowance: Allowance | None) -> bytes:
        wall_ms = self._hall.clock.wall_ns() // NS_PER_MS
        code, message, data, ext = 0, '"OK"', "{}", "{}"
        if isinstance(outcome, bytes):
            data = outcome.decode()
        elif isinstance(outcome, ApiError):
            code, message = outcome.code, encode(outcome.message).decode()
        else:
            data, ext = _text(outcome.result), _text(outcome.ext)
        echo = "" if req_id is None else f'"reqId":{encode(req_id).decode()},'
        budget = ""
        if allowance is not None:
            budget = (
                f'"X-Bapi-Limit":"{allowance.limit}","X-Bapi-Limit-Status":"{allowance.remaining}",'
                f'"X-Bapi-Limit-Reset-Timestamp":"{allowance.reset_ms}",'
            )
        return text_frame(
            f'{{{echo}"retCode":{code:d},"retMsg":{message},"op":"{op}","data":{data},"retExtInfo":{ext},"header":{{{budget}'
            f'"Traceid":"{self._trace_prefix}{next(self._requests):016x}","Timenow":"{wall_ms}"}},"connId":"{link.conn_id}"}}'.encode()
        )


def _text(part: Any) -> str:
    return part.decode() if isinstance(part, bytes) else encode(part).decode()
