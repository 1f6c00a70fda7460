"""Which position a fill of the venue's own doing closed: read backwards, to where it began."""

from __future__ import annotations

from collections.abc import Sequence

from kedge.domain.events import Event, InstrumentChanged, OrderFilled, PositionAdopted, StopPlaced, StopUnconfirmed
from kedge.domain.orders import FillCause, Side
from kedge.domain.outputs import Output, StopWanted
from kedge.domain.record import Step
from kedge.engine.stops import MOVED
from kedge.engine.stops import SAME_POSITION as ENGINES
from kedge.governance.lineage_position import SAME_POSITION, Holding, HoldingReader, stop_node

from ...builders import AAA, BBB, T0, instrument
from .records import fill, step

SPEC = instrument()
STOPPED = fill("stop-fill", client_order_id="", side=Side.SELL, cause=FillCause.STOP)


def bought(name: str, lots: int = 100, **changes: object) -> OrderFilled:
    return fill(f"f-{name}", client_order_id=name, qty_lots=lots, **changes)


def sold(name: str, lots: int = 100) -> OrderFilled:
    return bought(name, lots, side=Side.SELL)


def stop(ticks: int = 900, lots: int = 100, reason: str = "opened", instrument_id: str = AAA) -> StopWanted:
    return StopWanted(instrument=instrument_id, stop_ticks=ticks, position_lots=lots, reason=reason)


def closed(*happened: Event | tuple[Event, Output], fill_: OrderFilled = STOPPED) -> tuple[Holding, int]:
    """What the fill closed after these steps, and how many were read."""
    steps: list[Step] = [step(n, *one) if isinstance(one, tuple) else step(n, one) for n, one in enumerate(happened, 1)]
    reader, read = HoldingReader(fill_, lambda _: SPEC), 0
    for one in reversed(steps):
        read += 1
        if reader.take(one):
            break
    return reader.holding(), read


def orders(*happened: Event | tuple[Event, Output], fill_: OrderFilled = STOPPED) -> Sequence[str]:
    return closed(*happened, fill_=fill_)[0].order_ids


def test_the_words_for_a_stop_that_is_moved_are_the_engines() -> None:
    assert SAME_POSITION == ENGINES


def test_the_stop_that_opened_ends_the_search() -> None:
    older, opening = bought("old"), (bought("a"), stop())
    held, read = closed(older, sold("old-2"), opening, bought("b"), StopPlaced(T0, AAA, 900))
    assert (held.order_ids, held.is_foreign, read) == (("b", "a"), False, 3)
    assert held.wanted is not None
    assert (held.wanted[0].seq, held.wanted[1].stop_ticks) == (3, 900)
    assert [one.seq for one in held.told] == [5]


def test_what_the_venue_showed_since_the_newest_stop_is_told() -> None:
    shown, late = StopPlaced(T0, AAA, 950), StopUnconfirmed(T0 + 1, AAA, 5, "no answer")
    opening, moving = (bought("a"), stop()), (bought("b"), stop(950, 200, MOVED))
    held, _ = closed(opening, StopPlaced(T0, AAA, 900), moving, StopPlaced(T0, BBB, 1), shown, late)
    assert held.order_ids == ("b", "a")
    assert held.wanted is not None
    assert held.wanted[1].stop_ticks == 950
    assert [one.event for one in held.told] == [shown, late]


def test_without_stops_everything_is_read_and_only_the_last_position_counts() -> None:
    assert orders(bought("a"), sold("b"), bought("c"), bought("d"), sold("e", 50), fill_=liquidation()) == ("d", "c")
    assert orders(bought("a"), bought("a2", instrument=BBB), sold("b", 250), fill_=liquidation(Side.BUY)) == ("b",), "it turned round"
    assert orders(bought("a"), bought("a"), fill_=liquidation()) == ("a",), "a fill that is told twice is one fill"
    assert orders(sold("a"), fill_=liquidation()) == ()


def liquidation(side: Side = Side.SELL) -> OrderFilled:
    return fill("liq", client_order_id="", side=side, cause=FillCause.LIQUIDATION)


def test_a_position_turned_round_began_with_the_fill_that_turned_it() -> None:
    turned = (sold("b", 300), stop(1_100, -200, "turned round"))
    held, read = closed((bought("a"), stop()), turned, fill_=fill("s", client_order_id="", side=Side.BUY, cause=FillCause.STOP))
    assert (held.order_ids, read) == (("b",), 1)
    assert held.wanted is not None
    assert held.wanted[1].position_lots == -200


def test_a_part_of_the_same_stop_leaves_the_position_what_it_was() -> None:
    part = fill("stop-part", client_order_id="", side=Side.SELL, qty_lots=40, cause=FillCause.STOP)
    assert orders((bought("a"), stop()), part) == ("a",)


def test_our_own_order_that_closed_it_first_does_not_hide_the_stop() -> None:
    flat = (sold("b"), stop(0, 0, "flat"))
    held, _ = closed((bought("a"), stop()), flat)
    assert held.order_ids == ("a",)
    assert held.wanted is not None
    assert held.wanted[1].stop_ticks == 900
    assert closed((sold("x"), stop(1_100, -100)), (bought("y"), stop(0, 0, "flat")))[0].wanted is None, "a short's stop buys"


def test_what_was_taken_over_is_said_and_what_came_before_is_left() -> None:
    taken = PositionAdopted(T0, AAA, 100, 1)
    assert closed((taken, stop()))[0] == Holding((), True, (step(1, taken, stop()), stop()), ())
    held, read = closed(bought("old"), (taken, stop()), bought("a"))
    assert (held.order_ids, held.is_foreign, read) == (("a",), True, 2)
    theirs = fill("f-x", client_order_id="theirs", qty_lots=5, cause=FillCause.ADOPTED)
    assert closed((bought("a"), stop()), theirs)[0].is_foreign
    held, _ = closed(bought("a"), PositionAdopted(T0, AAA, 150, 1), PositionAdopted(T0, BBB, 1, 1))
    assert (held.order_ids, held.is_foreign) == (("a",), True), "ours is a part of what was taken over"


def test_a_new_grid_begins_stops_anew_and_not_the_position() -> None:
    again = (InstrumentChanged(T0, SPEC), stop(9_000, 100))
    held, _ = closed((bought("a"), stop()), again)
    assert held.order_ids == ("a",)
    assert held.wanted is not None
    assert held.wanted[1].stop_ticks == 9_000


def test_a_stop_tells_its_trigger_and_its_life() -> None:
    told = (
        step(4, StopPlaced(T0, AAA, 900)),
        step(5, StopPlaced(T0, AAA, 0)),
        step(6, StopUnconfirmed(T0 + 1, AAA, 5_000_000_000, "no answer")),
    )
    node = stop_node(step(3, bought("a"), stop()), stop(), told, SPEC)
    assert (node.key, node.title, node.seq) == (f"stop:{AAA}@3", "stop at 90.0 USDT for 0.100 AAA, by the mark", 3)
    assert node.facts["trigger"] == "the mark falls to 90.0 USDT"
    assert [(one.what, one.text) for one in node.history] == [
        ("wanted", "at 90.0 USDT for 0.100 AAA: opened"),
        ("shown", "the venue shows it at 90.0 USDT"),
        ("taken away", "the venue shows none"),
        ("unconfirmed", "not shown for 5 s: no answer"),
    ]
    assert stop_node(step(3, bought("a")), stop(1_100, -100), (), SPEC).facts["trigger"] == "the mark rises to 110.0 USDT"
