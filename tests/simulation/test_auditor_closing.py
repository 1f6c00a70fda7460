"""The auditor is told lies about how a guard closes positions, one at a time, and notices each."""

from __future__ import annotations

from typing import Any

import pytest
from tests.simulation.test_auditor import NAME
from tests.simulation.test_auditor_brake import LINK, Guarded, fails, flattening

from kedge.domain.orders import OrderKind, Side, TimeInForce
from kedge.simulation.venue_types import Status


@pytest.mark.parametrize(
    "wrong",
    [{"reduce_only": False}, {"kind": OrderKind.MARKET, "limit_ticks": 0}, {"time_in_force": TimeInForce.GTC}, {"client_order_id": "a"}],
)
def test_a_closing_order_is_a_reduce_only_immediate_limit_order_of_the_guard(wrong: dict[str, Any]) -> None:
    with fails("BRAKE_ORDER"):
        flattening().close(**wrong)


def test_no_closing_order_lies_beyond_the_collar_of_every_mark_of_late() -> None:
    told = flattening()
    told.close(limit=9_700)
    told = flattening()
    with fails("BRAKE_COLLAR"):
        told.close(limit=9_690)
    with fails("BRAKE_COLLAR"):
        told.close(limit=10_320, side=Side.BUY)
    told.auditor.marked(NAME, 9_000)
    told.close(limit=9_690)


def test_no_more_is_closed_than_was_held_and_one_order_at_a_time() -> None:
    told = flattening()
    with fails("BRAKE_DOUBLED"):
        told.close(lots=101)
    told.close(lots=100)
    with fails("BRAKE_DOUBLED"):
        told.close(client_order_id=LINK[:-1] + "1")
    told.brake.refused(LINK)
    told.close(client_order_id=LINK[:-1] + "1")


def test_an_id_that_the_venue_has_had_is_under_way_no_more_when_a_new_guard_sends_it_again() -> None:
    told = flattening()
    told.close(lots=100)
    with fails("BRAKE_DOUBLED"):
        told.close(client_order_id=LINK[:-1] + "1")
    told.auditor.row(told.resting(LINK, lots=100, leaves=0, status=Status.CANCELLED))
    told.brake.ended()
    told.brake.began("flattening")
    told.close(lots=100)  # taken once, so this one does nothing
    told.close(lots=100, client_order_id=LINK[:-1] + "1")
    with fails("BRAKE_DOUBLED"):
        told.close(lots=100, client_order_id=LINK[:-1] + "2")


def test_what_the_guard_closed_by_itself_is_not_closed_again() -> None:
    told = flattening()
    told.wait(6)
    told.close(lots=100)
    told.held(-100, LINK)
    told.brake.refused(LINK)
    with fails("BRAKE_DOUBLED"):
        told.close(lots=100, client_order_id=LINK[:-1] + "1")


def test_a_closing_order_never_turns_a_position_round() -> None:
    told = flattening()
    told.close(lots=100)
    told.held(-60, LINK)
    with fails("BRAKE_REVERSED"):
        told.held(-60, LINK)


def test_stops_stay_while_anything_is_held() -> None:
    told = flattening()
    told.wait(6)
    with fails("STOPS_GONE"):
        told.brake.swept({NAME: 9_000}, {NAME: 0})
    told.brake.swept({NAME: 9_000}, {NAME: 9_000})
    Guarded().brake.swept({NAME: 9_000}, {NAME: 0})


# seeing -----------------------------------------------------------------------------------------------------------------
