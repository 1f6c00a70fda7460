"""Permits over a wire: what counts, from when, and what never carries new risk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from kedge.domain.brake import BrakeLevel, Trigger
from kedge.domain.errors import IntegrityError, VenueUnavailable
from kedge.domain.events import BarClosed, OrderRejected
from kedge.domain.units import NS_PER_MS, NS_PER_S
from kedge.domain.venue import NO_PERMIT
from kedge.services.guard.status import Heartbeat
from kedge.services.guard_permits import (
    HEARTBEAT_MAC,
    HEARTBEAT_PID,
    HEARTBEAT_REJECTS,
    NONCE_CHARS,
    Rejects,
    RemotePermits,
    SignedPermit,
    beat_headers,
    beat_of,
    read_permit,
    sign_permit,
)
from kedge.services.permits import PERMIT_AGE_MAX_NS, LocalIssuer, Told, may_add_risk

KEY = b"k" * 32
GRANTED = SignedPermit(account="demo", nonce="", granted=True, level=BrakeLevel.RUNNING, trigger=None, generation=3, guard="guard")
HALTED = replace(
    GRANTED, granted=False, level=BrakeLevel.HALTED, trigger=Trigger.MANUAL, generation=4, reason="odd", why="the brake is halted"
)


class Wire:
    """A guard at the other end of a wire: signs what it is told to say, after as long as it is told to take."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * NS_PER_S
        self.says: Callable[[str], SignedPermit | bytes | Exception] = lambda nonce: replace(GRANTED, nonce=nonce)
        self.takes_ns = 0
        self.key = KEY
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def __call__(self, target: str, headers: dict[str, str]) -> bytes:
        nonce = target.partition("nonce=")[2]
        self.asked.append((nonce, headers))
        self.now_ns += self.takes_ns
        await asyncio.sleep(0)
        said = self.says(nonce)
        if isinstance(said, Exception):
            raise said
        return said if isinstance(said, bytes) else msgspec.json.encode(sign_permit(said, self.key))

    def permits(self, **more: Any) -> RemotePermits:
        return RemotePermits(self, account="demo", key=KEY, pid=77, clock_ns=lambda: self.now_ns, **more)


def asked(wire: Wire, permits: RemotePermits | None = None) -> RemotePermits:
    """The client after one question."""
    permits = permits or wire.permits()
    asyncio.run(permits.ask_once())
    return permits


# what counts ----------------------------------------------------------------------------------------------------------


def test_a_granted_permit_counts_from_the_moment_its_question_left() -> None:
    wire = Wire()
    wire.takes_ns = 700 * NS_PER_MS
    sent_ns = wire.now_ns
    permits = asked(wire)
    assert (permits.granted_ns, permits.guard, permits.problem) == (sent_ns, "guard", "")
    assert may_add_risk(permits, wire.now_ns)
    assert may_add_risk(permits, sent_ns + PERMIT_AGE_MAX_NS - 1)
    assert not may_add_risk(permits, sent_ns + PERMIT_AGE_MAX_NS)


@pytest.mark.parametrize(("takes_ns", "may"), [(PERMIT_AGE_MAX_NS - 1, True), (PERMIT_AGE_MAX_NS, False), (10 * PERMIT_AGE_MAX_NS, False)])
def test_an_answer_that_took_two_seconds_carries_no_risk(takes_ns: int, may: bool) -> None:
    wire = Wire()
    wire.takes_ns = takes_ns
    assert may_add_risk(asked(wire), wire.now_ns) is may


def test_before_the_first_answer_nothing_is_permitted() -> None:
    permits = Wire().permits()
    assert not may_add_risk(permits, 5 * NS_PER_S)
    assert permits.problem == "no guard has answered yet"


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (lambda nonce: replace(GRANTED, nonce="0" * NONCE_CHARS), "another question"),
        (lambda nonce: replace(GRANTED, nonce=nonce, account="other"), "account 'other'"),
        (lambda nonce: replace(GRANTED, nonce=nonce, level=BrakeLevel.REDUCE_ONLY), "grants at the level reduce_only"),
        (lambda nonce: replace(GRANTED, nonce=nonce, level=BrakeLevel.HALTED_FLAT), "grants at the level halted_flat"),
        (lambda nonce: msgspec.json.encode(replace(GRANTED, nonce=nonce)), "not signed"),
        (lambda nonce: msgspec.json.encode(replace(sign_permit(replace(GRANTED, nonce=nonce), KEY), generation=9)), "not signed"),
        (lambda nonce: msgspec.json.encode(replace(GRANTED, nonce=nonce, mac="\u00e9")), "not signed"),
        (lambda nonce: b"", "no permit"),
        (lambda nonce: b"{}", "no permit"),
        (lambda nonce: b"\xff", "no permit"),
        (lambda nonce: VenueUnavailable("refused", why="w", fix="f"), "does not answer: refused"),
        (lambda nonce: ConnectionResetError(104, "Connection reset by peer"), "does not answer: Connection reset by peer"),
        (lambda nonce: TimeoutError(), "does not answer within"),
    ],
)
def test_what_cannot_be_relied_upon_grants_nothing_and_says_why(says: Callable[[str], Any], words: str) -> None:
    wire = Wire()
    wire.says = says
    permits = asked(wire)
    assert permits.granted_ns is None
    assert permits.told is None, "what is not signed tells nothing of the brake either"
    if words != "no permit":
        assert words in permits.problem


def test_a_wrong_key_grants_nothing() -> None:
    wire = Wire()
    wire.key = b"x" * 32
    assert asked(wire).granted_ns is None


def test_a_replayed_answer_is_for_another_question() -> None:
    wire = Wire()
    first: list[bytes] = []

    def replayed(nonce: str) -> bytes:
        first.append(msgspec.json.encode(sign_permit(replace(GRANTED, nonce=nonce), KEY)))
        return first[0]

    wire.says = replayed
    permits = asked(wire)
    granted_ns = permits.granted_ns
    wire.now_ns += NS_PER_S
    asked(wire, permits)
    assert permits.granted_ns == granted_ns, "the old permit runs out by itself, the replay renews nothing"
    assert "another question" in permits.problem
    assert len({nonce for nonce, _ in wire.asked}) == 2


def test_a_refusal_takes_back_what_was_granted_at_once() -> None:
    wire = Wire()
    permits = asked(wire)
    wire.says = lambda nonce: replace(GRANTED, nonce=nonce, granted=False, why="the account was seen 3.0 s ago")
    asked(wire, permits)
    assert permits.granted_ns is None
    assert permits.problem == "the account was seen 3.0 s ago"


def test_a_silent_guard_leaves_the_permit_to_run_out() -> None:
    wire = Wire()
    permits = asked(wire)
    sent_ns = permits.granted_ns
    wire.says = lambda nonce: ConnectionRefusedError(111, "Connection refused")
    wire.now_ns += NS_PER_S
    asked(wire, permits)
    assert permits.granted_ns == sent_ns
    assert may_add_risk(permits, wire.now_ns)
    assert not may_add_risk(permits, wire.now_ns + NS_PER_S)


def test_an_answer_that_does_not_come_is_given_up_and_the_next_question_is_asked() -> None:
    async def scene() -> None:
        never = asyncio.Event()

        async def hangs(target: str, headers: dict[str, str]) -> bytes:
            await never.wait()
            return b""

        permits = RemotePermits(hangs, account="demo", key=KEY, pid=1, clock_ns=lambda: 0, within_s=0.02)
        await permits.ask_once()
        assert permits.problem == "the guard does not answer within 0.02 s"
        assert permits.granted_ns is None

    asyncio.run(scene())


def test_only_one_question_is_under_way_and_none_after_the_end() -> None:
    async def scene() -> None:
        wire = Wire()
        permits = wire.permits()
        for _ in range(5):
            permits.renew()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(wire.asked) == 1
        while permits.told is None:
            await asyncio.sleep(0)
        permits.renew()
        assert permits.granted_ns is not None
        await permits.close()
        assert permits.granted_ns is None
        assert len(wire.asked) <= 2
        await Wire().permits().close()

    asyncio.run(scene())


# the brake ------------------------------------------------------------------------------------------------------------


def test_every_new_level_or_generation_is_told_once_and_in_order() -> None:
    wire = Wire()
    permits, heard = wire.permits(), []
    permits.listen(heard.append)
    for said in (GRANTED, GRANTED, HALTED, HALTED, replace(HALTED, generation=5), GRANTED):
        wire.says = lambda nonce, said=said: replace(said, nonce=nonce)
        asked(wire, permits)
    assert [(told.level, told.generation) for told in heard] == [
        (BrakeLevel.RUNNING, 3), (BrakeLevel.HALTED, 4), (BrakeLevel.HALTED, 5), (BrakeLevel.RUNNING, 3),
    ]  # fmt: skip
    late: list[Told] = []
    permits.listen(late.append)
    assert late == [Told(BrakeLevel.RUNNING, 3, None, "")]


# signs of life --------------------------------------------------------------------------------------------------------


def test_a_question_carries_the_trader_s_sign_of_life() -> None:
    wire = Wire()
    permits = wire.permits()
    permits.beat = lambda: ("paper-1", 4)
    asked(wire, permits)
    nonce, headers = wire.asked[0]
    assert beat_of(headers, nonce, "demo", KEY) == Heartbeat(run_id="paper-1", pid=77, rejects=4)


def test_a_sign_of_life_counts_only_for_its_question_account_and_key() -> None:
    headers = beat_headers(Heartbeat(run_id="r", pid=1), "n1", "demo", KEY)
    assert HEARTBEAT_REJECTS not in headers
    assert beat_of(headers, "n1", "demo", KEY) == Heartbeat(run_id="r", pid=1)
    assert beat_of(headers, "n2", "demo", KEY) is None
    assert beat_of(headers, "n1", "other", KEY) is None
    assert beat_of(headers, "n1", "demo", b"x" * 32) is None
    assert beat_of({**headers, HEARTBEAT_PID: "2"}, "n1", "demo", KEY) is None
    assert beat_of({**headers, HEARTBEAT_PID: "x"}, "n1", "demo", KEY) is None
    assert beat_of({**headers, HEARTBEAT_REJECTS: "-1"}, "n1", "demo", KEY) is None
    assert beat_of({**headers, HEARTBEAT_PID: "9" * 5_000}, "n1", "demo", KEY) is None
    assert beat_of({**headers, HEARTBEAT_MAC: "\u00e9"}, "n1", "demo", KEY) is None
    assert beat_of({}, "n1", "demo", KEY) is None


def test_a_permit_is_read_only_as_what_it_is() -> None:
    good = msgspec.json.encode(sign_permit(replace(GRANTED, nonce="n"), KEY))
    assert read_permit(good, nonce="n", account="demo", key=KEY).generation == 3
    with pytest.raises(IntegrityError, match="no permit"):
        read_permit(good[:-1], nonce="n", account="demo", key=KEY)


def test_refusals_of_the_venue_are_counted_for_a_minute_of_its_time_and_our_own_are_not() -> None:
    rejects = Rejects()
    for second, code in ((0, "110007"), (10, NO_PERMIT), (30, "110007"), (59, "110007")):
        rejects.saw(OrderRejected(second * NS_PER_S, "x", code, ""), ())
    assert rejects.count() == 3
    rejects.saw(BarClosed(61 * NS_PER_S, "bybit-linear:BTCUSDT", 0, 1, 1, 1, 1, 1), ())
    assert rejects.count() == 2


# without a guard ------------------------------------------------------------------------------------------------------


def test_an_issuer_without_a_guard_grants_only_while_nothing_speaks_against_it() -> None:
    may = [True]
    issuer = LocalIssuer("paper", lambda: 5, lambda: may[0])
    issuer.renew()
    assert issuer.granted_ns == 5
    may[0] = False
    issuer.renew()
    assert issuer.granted_ns is None
    issuer.listen(lambda told: pytest.fail("nobody says anything of a brake"))
