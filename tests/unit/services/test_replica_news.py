"""What the replica shows of amends, triggers, waits, stops, quotes and differing books: in rows, and in lines for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kedge.domain.events import (
    AccountInherited,
    BooksDiffer,
    Event,
    FeedGap,
    OrderAmended,
    OrderAmendRefused,
    OrderFilled,
    OrderTriggered,
    OrderUnanswered,
    OrderWaits,
    QuoteLost,
    QuoteSampled,
    Request,
    StopPlaced,
    StopUnconfirmed,
    TimerFired,
)
from kedge.domain.orders import FillCause, Liquidity, OrderIntent, Side
from kedge.domain.outputs import AlertRaised, AmendSent, StopWanted
from kedge.risk.sizing_policy import SizingPolicy
from kedge.risk.states import STOP_UNCONFIRMED
from kedge.services import replica_figures as figures
from kedge.services.replica_news import alert_line, line_of, stop_line
from kedge.services.replica_read import Reading
from kedge.services.replica_text import Grid
from kedge.strategy.execution import ExecutionPolicy, Style

from ...builders import AAA, BBB, CCC, T0, accepted, bar, filled, instrument, sent
from .replica_runs import Live, closed, opened, read_all
from .test_replica import rows

S = 1_000_000_000
LOST_ORDER = "no reply to the order in time; it is looked for, and keeps its exposure"
LOST_CHANGE = "no reply to a change in time; which terms stand is looked up"
LOST_CANCEL = "no reply to a cancel in time; the order may still trade"
GRID = Grid(instrument())
CHASE = {"execution": ExecutionPolicy(style=Style.CHASE)}


def grid_of(name: str) -> Grid | None:
    return GRID if name == AAA else None


def line(event: Event, order: dict[str, Any] | None = None) -> tuple[str, str, bool, dict[str, Any]]:
    found = line_of(event, grid_of, order)
    assert found is not None
    return tuple(found)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("event", "stage", "code", "vetoed", "words"),
    [
        (OrderWaits(T0, "o1", "v1"), "venue", "WAITS", False, "the venue holds it until its trigger"),
        (OrderTriggered(T0, "o1"), "venue", "TRIGGERED", False, "its trigger was reached: it may trade"),
        (OrderAmendRefused(T0, "o1", "110001", "gone"), "venue", "110001", True, "the order was not changed: gone"),
        (OrderUnanswered(T0, "o1"), "venue", "UNANSWERED", False, LOST_ORDER),
        (OrderUnanswered(T0, "o1", Request.AMEND), "venue", "UNANSWERED", False, LOST_CHANGE),
        (OrderUnanswered(T0, "o1", Request.CANCEL), "venue", "UNANSWERED", False, LOST_CANCEL),
        (StopPlaced(T0, AAA, 900), "stop", "STOP_SHOWN", False, "the venue shows a stop at 90.0"),
        (StopPlaced(T0, CCC, 900), "stop", "STOP_SHOWN", False, "the venue shows a stop at 900 ticks"),
        (StopPlaced(T0, AAA, 0), "stop", "STOP_GONE", False, "the venue shows no stop"),
        (StopUnconfirmed(T0, AAA, 5 * S, "refused"), "stop", "STOP_UNCONFIRMED", True, "refused"),
        (QuoteLost(T0, AAA, "crossed"), "quotes", "QUOTE_LOST", False, "no best prices: crossed"),
        (BooksDiffer(T0, "POSITION_DIFFERS", AAA, "", 5, 7), "books", "POSITION_DIFFERS", True, "our books and the venue's differ"),
    ],
)  # fmt: skip
def test_each_event_has_its_line_in_plain_words(event: Event, stage: str, code: str, vetoed: bool, words: str) -> None:
    found = line(event, {"instrument": AAA, "decision_id": "run.1", "prediction_id": None, "status": "open"})
    assert found[:3] == (stage, code, vetoed)
    assert found[3]["reason"] == words
    assert STOP_UNCONFIRMED == "STOP_UNCONFIRMED"


def test_a_line_of_an_order_names_it_and_what_it_carries_out() -> None:
    row = {"instrument": AAA, "decision_id": "run.1", "prediction_id": "run.p1", "status": "open"}
    facts = line(OrderTriggered(T0, "o1"), row)[3]
    assert facts == {**{name: row[name] for name in ("instrument", "decision_id", "prediction_id")}, "client_order_id": "o1",
                     "reason": "its trigger was reached: it may trade"}  # fmt: skip
    assert line(OrderTriggered(T0, "foreign"))[3]["decision_id"] is None


@pytest.mark.parametrize(
    ("event", "ours", "theirs"),
    [
        (BooksDiffer(T0, "POSITION_DIFFERS", AAA, "", 5, 7), "0.005 here", "0.007 at the venue"),
        (BooksDiffer(T0, "FOREIGN_POSITION", CCC, "", 0, 7), "0 here", "7 at the venue"),
        (BooksDiffer(T0, "WALLET_DIFFERS", "", "", 150_000_000, 5), "1.50000000 here", "0.00000005 at the venue"),
        (BooksDiffer(T0, "LEDGER_DIFFERS", AAA, "", 1, 2, "row 7"), "0.00000001 here", "0.00000002 at the venue"),
    ],
)
def test_differing_books_show_both_figures_in_their_own_units(event: BooksDiffer, ours: str, theirs: str) -> None:
    facts = line(event)[3]
    assert (facts["observed"], facts["limit"], facts["instrument"]) == (ours, theirs, event.instrument or None)


@pytest.mark.parametrize("event", [bar(1), QuoteSampled(T0, AAA, 1, 2, 1, 1), OrderAmended(T0, "o1", 5, 1_000), FeedGap(T0, AAA, T0 - 1)])
def test_what_happens_all_the_time_has_no_line(event: Event) -> None:
    assert line_of(event, grid_of) is None


def test_a_stop_that_is_wanted_or_taken_away_has_a_line() -> None:
    wanted = stop_line(StopWanted(instrument=AAA, stop_ticks=900, position_lots=5, reason="opened"), GRID)
    assert (wanted.code, wanted.facts["reason"]) == ("STOP_WANTED", "a stop at 90.0 for 0.005 is wanted: opened")
    off = stop_line(StopWanted(instrument=AAA, stop_ticks=0, position_lots=0, reason="flat"), GRID)
    assert (off.code, off.vetoed, off.facts["reason"]) == ("STOP_OFF", False, "no stop is wanted: flat")


# whole runs ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "severity", "words"),
    [
        ("DRAWDOWN", "soft", "a soft level is crossed"),
        ("DRAWDOWN", "over", "well below its soft level again"),
        ("HISTORY_REFUSED", "hard", "daily closes that cannot be are not used"),
        ("HISTORY_REFUSED", "over", "the daily closes that were told are used again"),
    ],
)
def test_an_alert_says_what_it_is_about(code: str, severity: str, words: str) -> None:
    line = alert_line(AlertRaised(code=code, severity=severity, observed="x", limit="", instrument=AAA))
    assert (line.code, line.facts["reason"], line.facts["limit"]) == (f"ALERT_{code}", words, None)


def test_an_orders_row_follows_its_changes(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite", **CHASE) as live:
        replica = opened(live.path, tmp_path / "r.sqlite")

        def order() -> dict[str, Any]:
            read_all(replica)
            return dict(json.loads(Reading(replica).order(intent.client_order_id) or b"{}"))

        def quote(n: int, bid: int) -> QuoteSampled:
            return QuoteSampled(T0 + n * S, AAA, bid, bid + 2, 10, 10)

        live.step(quote(59, 999))
        live.wish.say(0.1)
        (intent,) = sent(live.step(bar(1)))
        live.step(accepted(intent, T0 + 61 * S))
        first = order()
        assert (first["status"], first["limit_price"], first["amends"], first["trigger_price"]) == ("open", "99.9", 0, None)
        asked = moved(live, quote, 1_003)
        asking = order()
        assert (asking["status"], asking["limit_price"], asking["asked_limit_price"], asking["asked_qty"]) == (
            "pending_amend",
            "99.9",
            "100.3",
            None,
        )
        assert asking["reason"] == "FOLLOWS"
        live.step(OrderAmended(T0 + 64 * S, intent.client_order_id, intent.qty_lots, asked.limit_ticks or 0))
        done = order()
        assert (done["status"], done["limit_price"], done["sent_limit_price"], done["amends"]) == ("open", "100.3", "99.9", 1)
        assert done["asked_limit_price"] is None
        moved(live, quote, 1_006, n=70)
        live.step(OrderAmendRefused(T0 + 75 * S, intent.client_order_id, "110001", "gone"))
        left = order()
        assert (left["status"], left["limit_price"], left["code"], left["reason"], left["amends"]) == ("open", "100.3", "110001", "gone", 1)
        (refused,) = rows(replica, "decisions", stage="venue")
        assert (refused["code"], refused["vetoed"], refused["client_order_id"]) == ("110001", True, intent.client_order_id)
        assert refused["decision_id"] == intent.decision_id
        closed(replica)


def moved(live: Live, quote: Any, bid: int, n: int = 62) -> AmendSent:
    """The change that follows a better bid."""
    live.step(quote(n, bid))
    for timer in sorted(live.engine.state.timers):
        for output in live.step(TimerFired(T0 + (n + 1) * S, timer)):
            if isinstance(output, AmendSent):
                return output
    raise AssertionError("nothing followed the market")


def test_a_conditional_order_waits_with_its_trigger(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite", execution=ExecutionPolicy(style=Style.STOP_ENTRY)) as live:
        live.wish.say(0.1)
        (intent,) = sent(live.step(bar(1)))
        live.step(OrderWaits(T0 + 61 * S, intent.client_order_id, "v1"))
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        (row,) = rows(replica, "orders")
        price = replica.views.grid(AAA).price(intent.trigger_ticks)
        assert (row["status"], row["is_open"], row["trigger_price"], row["trigger_when"]) == ("waiting", True, price, "rises")
        live.step(OrderTriggered(T0 + 62 * S, intent.client_order_id))
        read_all(replica)
        assert rows(replica, "orders", status="open")
        assert [one["code"] for one in rows(replica, "decisions", stage="venue")] == ["WAITS", "TRIGGERED"]
        closed(replica)


def long_position(live: Live) -> OrderIntent:
    live.wish.say(0.1)
    (intent,) = sent(live.step(bar(1)))
    live.step(filled(intent, T0 + 61 * S, 1_001))
    return intent


def test_a_position_shows_its_stop_from_wanted_to_unconfirmed(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite", stop_distance_frac_e8=10_000_000) as live:
        replica = opened(live.path, tmp_path / "r.sqlite")

        def stop() -> tuple[str, str | None, str | None, str | None]:
            read_all(replica)
            (row,) = figures.positions(replica)
            return row["stop_state"], row["stop_wanted"], row["stop_placed"], row["stop_distance"]

        long_position(live)
        assert stop() == ("missing", "90.1", None, "0.09900000")
        live.step(StopPlaced(T0 + 62 * S, AAA, 880))
        assert stop() == ("moving", "90.1", "88.0", "0.12000000")
        live.step(StopPlaced(T0 + 63 * S, AAA, 901))
        assert stop() == ("placed", "90.1", "90.1", "0.09900000")
        live.step(StopPlaced(T0 + 64 * S, AAA, 0), StopUnconfirmed(T0 + 69 * S, AAA, 5 * S, "refused"))
        assert stop()[:3] == ("unconfirmed", "90.1", None)
        told = [row["code"] for row in rows(replica, "decisions", stage="stop")]
        assert told == ["STOP_WANTED", "STOP_SHOWN", "STOP_SHOWN", "STOP_GONE", "STOP_UNCONFIRMED"]
        assert figures.risk(replica)["halt_code"] == STOP_UNCONFIRMED
        closed(replica)


def test_a_run_without_stops_says_that_they_are_off(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite") as live:
        long_position(live)
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        (row,) = figures.positions(replica)
        assert (row["stop_state"], row["stop_wanted"], row["stop_distance"]) == ("off", None, None)
        closed(replica)


def test_a_fill_shows_its_slippage_and_a_stop_that_fired_its_cause(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite", stop_distance_frac_e8=10_000_000) as live:
        live.step(QuoteSampled(T0 + 59 * S, AAA, 999, 1_002, 10, 10))
        intent = long_position(live)
        live.step(OrderFilled(T0 + 70 * S, "s1", "", AAA, Side.SELL, intent.qty_lots, 901, 0, Liquidity.TAKER, 0, FillCause.STOP))
        live.step(QuoteLost(T0 + 71 * S, AAA, "crossed"), BooksDiffer(T0 + 72 * S, "FOREIGN_POSITION", BBB, "", 0, 3))
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        trade, stop = rows(replica, "fills")
        assert (trade["slippage_against"], trade["slippage_bps"]) == ("mid", "5.00")
        assert trade["slippage"] == replica.summary()["slippage"]
        assert (stop["cause"], stop["slippage"], stop["slippage_bps"], stop["slippage_against"]) == ("stop", None, None, None)
        assert rows(replica, "decisions", stage="signal")[0]["mid"] == "100.05"
        assert [row["code"] for row in rows(replica, "decisions", stage="quotes")] == ["QUOTE_LOST"]
        assert rows(replica, "decisions", stage="books")[0]["limit"] == "0.003 at the venue"
        closed(replica)


def test_a_decision_that_a_cap_cut_says_what_was_left_and_by_which(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite", sizing=SizingPolicy()) as live:
        live.wish.say(0.2)
        live.step(bar(1))
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        (row,) = rows(replica, "decisions", stage="signal")
        assert (row["code"], row["exposure"], row["allowed"], row["bound_by"]) == ("OK", "0.20000000", "0.13201320", "trade-risk")
        closed(replica)


def test_what_a_run_took_over_is_told_with_its_figures() -> None:
    held = {"risk_state": "halted", "code": "DRAWDOWN", "reason": "8.1%", "limit": "8%"}
    whole = AccountInherited(T0, "paper-1", 7, "ab", **held, peak_e8=10**12, flows_e8=-5 * 10**8, unexplained_e8=-1)
    assert line(whole) == (
        "risk",
        "INHERITED",
        True,
        {
            "observed": "halted for DRAWDOWN",
            "limit": "high-water mark 10000.00000000",
            "reason": "paper-1 to its record 7 traded this account before; "
            "since then -5.00000000 flowed, 0.00000000 was traded, -0.00000001 is unexplained",
        },
    )
    assert line(AccountInherited(T0, "paper-1", 7, "ab")) == (
        "risk",
        "INHERITED",
        False,
        {"observed": "running", "reason": "paper-1 to its record 7 traded this account before"},
    )
