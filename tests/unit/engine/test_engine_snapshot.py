"""The state as bytes and back: whole, canonical, and refused when anything is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from kedge.domain.errors import IntegrityError, InvalidConfig
from kedge.domain.orders import FillCause
from kedge.engine.engine import Engine
from kedge.engine.settings import EngineSettings
from kedge.strategy.execution import ExecutionPolicy

from ...builders import AAA, BBB, T0, Wish, bar, canceled, engine, filled, instrument, liquidated, order, sent, settings


def traded() -> Engine:
    wish = Wish()
    one = engine(wish, [instrument(), instrument(BBB)])
    one.step(bar(1, instrument_id=AAA))
    one.step(bar(1, instrument_id=BBB))
    wish.say(0.1, BBB)
    (first,) = sent(one.step(bar(2, instrument_id=BBB)))
    one.step(filled(first, T0, 1_001, lots=4_000, leaves=6_000, fee_e8=11))
    one.step(canceled(first, T0))
    wish.say(0.1, AAA)
    one.step(bar(3, instrument_id=AAA))
    one.step(msgspec.structs.replace(liquidated(T0, order().side, 5, 900), cause=FillCause.ADOPTED))
    one.step(bar(4, instrument_id=BBB))
    return one


def fresh() -> Engine:
    return engine(Wish(), [instrument(), instrument(BBB)])


def test_a_snapshot_restores_to_the_byte() -> None:
    one, two = traded(), fresh()
    body = one.snapshot()
    assert one.state.orders.live_count == 2
    two.restore(body)
    assert two.snapshot() == body
    assert two.summary() == one.summary()


def test_the_bytes_do_not_depend_on_the_order_in_which_instruments_first_traded() -> None:
    """B traded and finished first, so a restored engine learns A's order before B's next one."""
    one, two = traded(), fresh()
    for live in list(one.state.orders.of(BBB).values()):
        one.step(canceled(live.order, T0))
    two.restore(one.snapshot())
    for e in (one, two):
        assert sent(e.step(bar(5, instrument_id=BBB)))
    assert one.state.orders.live_count == 2
    assert one.snapshot() == two.snapshot()
    three = fresh()
    three.restore(two.snapshot())
    assert three.snapshot() == two.snapshot()


Change = Callable[[dict[str, Any]], object]
BROKEN: dict[str, Change] = {
    "format": lambda s: s.update(format="kedge/snapshot/v0"),
    "other field": lambda s: s.update(extra=1),
    "no field": lambda s: s.pop("gate"),
    "no array": lambda s: s["arrays"].pop("lots"),
    "one array more": lambda s: s["arrays"].update(extra=[1]),
    "short array": lambda s: s["arrays"].update(lots=[1]),
    "no scalar": lambda s: s["scalars"].pop("decisions"),
    "no slot field": lambda s: s["slots"][AAA].pop("attempt"),
    "one slot field more": lambda s: s["slots"][AAA].update(extra=1),
    "other instruments": lambda s: s["slots"].pop(AAA),
    "no record of an instrument": lambda s: s["specs"].pop(AAA),
    "no counter": lambda s: s["funnel"].pop("bars"),
    "no limits memory": lambda s: s["gate"].pop("sent_ns"),
    "features of another strategy": lambda s: s["slots"][AAA].update(memory="00" * 16),
    "an order in no known state": lambda s: s["live"][0].update(status="resting"),
}


@pytest.mark.parametrize("name", list(BROKEN))
def test_a_snapshot_with_anything_missing_or_more_is_refused(name: str) -> None:
    plain = msgspec.json.decode(traded().snapshot())
    BROKEN[name](plain)
    with pytest.raises(IntegrityError, match="snapshot"):
        fresh().restore(msgspec.json.encode(plain))


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"\xff\xfe"])
def test_bytes_that_are_no_snapshot_are_refused(body: bytes) -> None:
    with pytest.raises(IntegrityError, match="snapshot"):
        fresh().restore(body)


def test_settings_that_refuse_every_slice_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="slice_notional_frac_e8 is 20000000"):
        settings(execution=ExecutionPolicy(slice_notional_frac_e8=20_000_000))


def test_settings_survive_a_journal_and_nothing_else_does() -> None:
    plain = msgspec.to_builtins(settings(params={"fast": 3}))
    assert EngineSettings.from_plain(plain) == settings(params={"fast": 3})
    for broken in ({**plain, "wallet_e8": 0}, {**plain, "interval_ns": "x"}, {**plain, "confidence_min_e8": 2 * 10**8}):
        with pytest.raises(InvalidConfig, match="engine settings"):
            EngineSettings.from_plain(broken)
