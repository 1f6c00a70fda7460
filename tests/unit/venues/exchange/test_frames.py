"""Frames as bytes: what a WebSocket client must read, and the words of the three sockets."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from kedge.venues.exchange.frames import (
    CLOSE,
    PONG,
    bytes_as_text,
    close_frame,
    control_frame,
    frame_head,
    private_ack,
    private_pong,
    public_ack,
    public_pong,
    text_frame,
    trade_ack,
)


def body_of(frame: bytes) -> dict[str, Any]:
    assert frame[0] == 0x81
    return dict(json.loads(frame[2:] if frame[1] < 126 else frame[4:]))


@pytest.mark.parametrize(("size", "header"), [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_the_length_of_a_text_is_written_as_the_protocol_asks(size: int, header: int) -> None:
    payload = b"x" * size
    frame = text_frame(payload)
    assert frame[0] == 0x81
    assert frame[header:] == payload
    assert not frame[1] & 0x80
    read = frame[1] if header == 2 else struct.unpack(">H" if header == 4 else ">Q", frame[2:header])[0]
    assert read == size
    assert frame[1] == {2: size, 4: 126, 10: 127}[header]


def test_a_control_frame_is_cut_to_what_the_protocol_allows() -> None:
    frame = control_frame(PONG, b"y" * 200)
    assert frame[:2] == bytes((0x8A, 125))
    assert len(frame) == 127


def test_a_close_carries_its_code_and_reason() -> None:
    assert close_frame(1001, "going") == bytes((0x80 | CLOSE, 7)) + b"\x03\xe9going"


def test_the_public_socket_echoes_the_request_id_as_it_came_and_an_empty_one_for_none() -> None:
    assert body_of(public_ack("subscribe", "c", 7)) == {"success": True, "ret_msg": "", "conn_id": "c", "req_id": 7, "op": "subscribe"}
    assert body_of(public_ack("subscribe", "c", None, "no")) == {
        "success": False, "ret_msg": "no", "conn_id": "c", "req_id": "", "op": "subscribe",
    }  # fmt: skip
    assert body_of(public_pong("c", "p")) == {"success": True, "ret_msg": "pong", "conn_id": "c", "req_id": "p", "op": "ping"}
    assert body_of(public_pong("c", None))["req_id"] == ""


def test_the_private_socket_leaves_an_absent_request_id_out() -> None:
    assert body_of(private_ack("auth", "c", None)) == {"success": True, "ret_msg": "", "op": "auth", "conn_id": "c"}
    assert body_of(private_ack("subscribe", "c", "r"))["req_id"] == "r"
    assert body_of(private_pong("c", "1", 5)) == {"req_id": "1", "op": "pong", "args": ["5"], "conn_id": "c"}
    assert "req_id" not in body_of(private_pong("c", None, 5))


def test_the_trade_socket_speaks_of_codes() -> None:
    assert body_of(trade_ack("auth", "c", None, 0, "OK")) == {"retCode": 0, "retMsg": "OK", "op": "auth", "connId": "c"}
    assert body_of(trade_ack("pong", "c", "r", 0, "OK", ["5"])) == {
        "reqId": "r", "retCode": 0, "retMsg": "OK", "op": "pong", "data": ["5"], "connId": "c",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "x", "a" * 125, "b" * 126, "ä" * 70, "c" * 65_535, "d" * 65_536])
def test_a_frame_written_as_text_is_the_frame_written_as_bytes(text: str) -> None:
    payload = bytes_as_text(text)
    assert (frame_head(len(payload)) + payload).encode("latin-1") == text_frame(text.encode())
