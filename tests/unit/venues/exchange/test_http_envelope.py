"""The envelope, its codes, and the answers on the wire, without a server."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from kedge.simulation.venue_types import Reject
from kedge.venues.exchange.codes import TEXTS, Code, text_of
from kedge.venues.exchange.envelope import answer, decode_object, envelope
from kedge.venues.exchange.http_server_reply import UNSENT_MAX, DroppedReply, WireReply
from kedge.venues.exchange.routes import ApiError, Reply


class Wire:
    """A transport that remembers."""

    def __init__(self, *, waiting: int = 0, closing: bool = False) -> None:
        self.waiting, self.closing, self.written, self.aborted = waiting, closing, b"", False

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


def asked(transport: Wire | None, keep_alive: bool = True) -> Any:
    return SimpleNamespace(method="GET", transport=transport, keep_alive=keep_alive)


def test_every_code_has_a_text_and_an_unknown_one_a_plain_sentence() -> None:
    assert {int(code) for code in Code} == set(TEXTS)
    assert text_of(987654) == "request refused"


def test_the_venues_refusal_is_passed_on_as_it_is() -> None:
    error = ApiError.of(Reject(110007, "ab not enough for new order"))
    code, text = answer(error, 5)
    assert code == 110007
    assert msgspec.json.decode(text) == {
        "retCode": 110007,
        "retMsg": "ab not enough for new order",
        "result": {},
        "retExtInfo": {},
        "time": 5,
    }


def test_a_reply_may_bring_its_own_message_and_ext_info() -> None:
    _, text = answer(Reply({"list": []}, {"list": [{"code": 0, "msg": "OK"}]}, message=""), 5, "SUCCESS")
    assert text == b'{"retCode":0,"retMsg":"","result":{"list":[]},"retExtInfo":{"list":[{"code":0,"msg":"OK"}]},"time":5}'
    assert b'"retMsg":"SUCCESS"' in answer(Reply({}), 5, "SUCCESS")[1]


def test_encoded_results_are_taken_as_they_are_and_messages_are_escaped() -> None:
    assert envelope(1, 'say "no"', b'{"a":1}', 2) == b'{"retCode":1,"retMsg":"say \\"no\\"","result":{"a":1},"retExtInfo":{},"time":2}'


@pytest.mark.parametrize(("body", "members"), [(b"", {}), (b"{}", {}), (b'{"a":null}', {"a": None}), (b"[]", None), (b"{", None)])
def test_only_objects_are_bodies(body: bytes, members: dict[str, Any] | None) -> None:
    assert decode_object(body) == members


def test_a_reply_says_whether_the_connection_stays() -> None:
    wire = Wire()
    reply = WireReply(b"hello", status=404, headers=b"A: b\r\n")
    asyncio.run(_send(reply, asked(wire, keep_alive=False)))
    assert wire.written.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert wire.written.endswith(b"Content-Length: 5\r\nA: b\r\nConnection: close\r\n\r\nhello")
    assert reply.keep_alive is False


@pytest.mark.parametrize("wire", [None, Wire(closing=True)])
def test_a_reply_to_nobody_is_a_broken_connection(wire: Wire | None) -> None:
    with pytest.raises(ConnectionResetError, match="gone"):
        asyncio.run(_send(WireReply(b""), asked(wire)))


def test_a_client_that_does_not_read_is_cut_off() -> None:
    wire = Wire(waiting=UNSENT_MAX + 1)
    with pytest.raises(ConnectionResetError, match="does not read"):
        asyncio.run(_send(WireReply(b""), asked(wire)))
    assert wire.aborted


@pytest.mark.parametrize("wire", [None, Wire()])
def test_a_dropped_reply_cuts_the_connection(wire: Wire | None) -> None:
    with pytest.raises(ConnectionResetError, match="dropped"):
        asyncio.run(_send(DroppedReply(), asked(wire)))
    assert wire is None or (wire.aborted and not wire.written)


async def _send(reply: Any, request: Any) -> None:
    await reply.prepare(request)
    await reply.write_eof()
