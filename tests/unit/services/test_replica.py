"""The read replica: its figures are the engine's own at every record, and what is on disk always fits the journal."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.domain.errors import IntegrityError
from kedge.domain.events import (
    BarClosed,
    Command,
    CommandGiven,
    InstrumentChanged,
    OrderFilled,
    OrderProvenAbsent,
    OrderRejected,
    OrderUnanswered,
    RunEnded,
)
from kedge.domain.orders import Liquidity, Side
from kedge.domain.outputs import Decided, OrderRefused, OrderSent, Predicted
from kedge.domain.units import money_e8
from kedge.services import replica as replica_module
from kedge.services import replica_figures as figures
from kedge.services.backtest import engine_of
from kedge.services.models import strategy_of
from kedge.services.replica_read import Reading, Wanted
from kedge.services.replica_store import LAYOUT
from kedge.services.replica_views import Views

from ...builders import AAA, BBB, DAY, T0, accepted, bar, canceled, filled, instrument, liquidated, sent
from ..strategy.model_documents import Shelf
from .replica_runs import MODEL, Live, closed, model_run, opened, read_all, rows_of, steps_in


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "journal.sqlite"
    model_run(path)
    return path


def rows(replica: Any, what: str, **equal: str) -> list[dict[str, Any]]:
    """All rows of a list, oldest first."""
    page = Reading(replica).page(what, Wanted(limit=10_000, equal=equal))
    return [json.loads(row) for row in page.rows][::-1]


def test_figures_are_the_engines_own_at_every_record(journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_module, "CHECK_EVERY", 1)
    replica = opened(journal, tmp_path / "r.sqlite")
    engine = engine_of(replica.started, strategy_of(replica.started, Shelf(MODEL)))
    while replica.seq == 0 and replica.advance(0.0):
        pass
    compared = 0
    for step in steps_in(journal):
        while replica.seq < step.seq:
            assert replica.advance(0.0) == 1
        engine.apply(step.event, step.outputs)
        assert replica.summary() == engine.summary()
        compared += 1
    assert compared > 120
    assert engine.summary()["fills"] > 0
    closed(replica)


def test_rows_say_what_the_records_say(journal: Path, tmp_path: Path) -> None:
    replica = read_all(opened(journal, tmp_path / "r.sqlite"))
    steps = steps_in(journal)
    outputs = [output for step in steps for output in step.outputs]
    grid = replica.views.grid
    bars = [step.event for step in steps if isinstance(step.event, BarClosed)]
    shown = [(row["instrument"], row["open"], row["high"], row["low"], row["close"], row["volume"]) for row in rows(replica, "candles")]
    spec = instrument()
    assert shown == [
        (
            one.instrument,
            *(spec.price_text(ticks) for ticks in (one.open_ticks, one.high_ticks, one.low_ticks, one.close_ticks)),
            spec.qty_text(one.volume_lots),
        )
        for one in bars
    ]
    predicted = [output for output in outputs if isinstance(output, Predicted)]
    assert [(row["prediction_id"], row["score_hex"], row["probability_hex"], row["model_sha256"], row["features_sha256"]) for row in
            rows(replica, "predictions")] == [
        (one.prediction_id, one.score_hex, one.probability_hex, one.model_sha256, one.features_sha256) for one in predicted
    ]  # fmt: skip
    events = [step.event for step in steps if isinstance(step.event, OrderFilled)]
    found = rows(replica, "fills")
    assert [(row["fill_id"], row["qty"], row["price"]) for row in found] == [
        (one.fill_id, grid(one.instrument).qty(one.qty_lots), grid(one.instrument).price(one.price_ticks)) for one in events
    ]
    decided = {one.decision_id: one for one in outputs if isinstance(one, Decided)}
    assert all(row["prediction_id"] == decided[row["decision_id"]].prediction_id for row in found)
    orders = rows(replica, "orders")
    assert len(orders) == sum(isinstance(one, OrderSent) for one in outputs)
    vetoes = [row for row in rows(replica, "decisions") if row["stage"] in ("signal", "limits") and row["vetoed"]]
    assert len(vetoes) == sum(replica.state.funnel.vetoed.values()) > 0
    assert all(row["observed"] and row["limit"] for row in vetoes)
    probabilities = {row["prediction_id"]: row["probability"] for row in rows(replica, "predictions")}
    assert all(row["probability"] == probabilities[row["prediction_id"]] for row in rows(replica, "decisions") if row["stage"] == "signal")
    closed(replica)


def test_realised_profit_and_fees_of_the_fills_add_up_to_the_books(journal: Path, tmp_path: Path) -> None:
    replica = read_all(opened(journal, tmp_path / "r.sqlite"))
    found, summary = rows(replica, "fills"), replica.summary()
    assert sum(money_e8(row["realised"]) for row in found) == money_e8(summary["realised"])
    assert sum(money_e8(row["fee"]) for row in found) == money_e8(summary["fees"])
    assert all(row["realised"] == "0.00000000" for row in found[:1])
    closed(replica)


def test_a_replica_that_was_closed_goes_on_where_it_was(journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_module, "CHECK_EVERY", 5)
    whole = read_all(opened(journal, tmp_path / "whole.sqlite"))
    while True:
        parts = opened(journal, tmp_path / "parts.sqlite")
        assert not parts.rebuilt
        if not parts.advance(0.0):
            break
        closed(parts)
    assert parts.row == whole.row
    assert parts.summary() == whole.summary()
    assert rows_of(parts) == rows_of(whole)
    assert figures.day_result(parts) == figures.day_result(whole)
    assert Reading(parts).equity(500, None, None) == Reading(whole).equity(500, None, None)
    closed(parts)
    closed(whole)


def test_what_was_not_saved_is_folded_again_after_a_kill(journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replica_module, "SAVE_EVERY", 50)
    monkeypatch.setattr(replica_module, "CHECK_EVERY", 8)
    killed = opened(journal, tmp_path / "r.sqlite")
    while killed.row < 120:
        killed.advance(0.0)
    killed.store.close()  # as a kill leaves it: nothing since the last checkpoint
    killed.journal.close()
    after = opened(journal, tmp_path / "r.sqlite")
    assert 0 < after.row < 120
    read_all(after)
    fresh = read_all(opened(journal, tmp_path / "fresh.sqlite"))
    assert rows_of(after) == rows_of(fresh)
    assert after.summary() == fresh.summary()
    closed(after)
    closed(fresh)


def spoil_bytes(file: Path) -> None:
    file.write_bytes(b"no database at all, but long enough to be read as one" * 100)


def spoil_cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:8192])


def spoil_layout(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute(f"UPDATE checkpoint SET body = replace(CAST(body AS TEXT), '\"layout\":{LAYOUT}', '\"layout\":1')")
    db.close()


def spoil_checkpoint(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("UPDATE checkpoint SET body = '{'")
    db.close()


def spoil_engine(file: Path) -> None:
    with sqlite3.connect(file) as db:
        db.execute("UPDATE checkpoint SET engine = '{}'")
    db.close()


def spoil_hash(file: Path) -> None:
    with sqlite3.connect(file) as db:
        (body,) = db.execute("SELECT body FROM checkpoint").fetchone()
        plain = msgspec.json.decode(body)
        db.execute("UPDATE checkpoint SET body = ?", (msgspec.json.encode({**plain, "row_hash": "00" * 32}),))
    db.close()


@pytest.mark.parametrize("spoil", [spoil_bytes, spoil_cut, spoil_layout, spoil_checkpoint, spoil_engine, spoil_hash])
def test_a_file_that_does_not_fit_is_made_again(journal: Path, tmp_path: Path, spoil: Any) -> None:
    file = tmp_path / "r.sqlite"
    good = read_all(opened(journal, file))
    wanted, summary = rows_of(good), good.summary()
    closed(good)
    spoil(file)
    again = opened(journal, file)
    assert (again.rebuilt, again.row) == (True, -1)
    read_all(again)
    assert (rows_of(again), again.summary()) == (wanted, summary)
    closed(again)


def test_rows_that_other_code_made_are_made_again(journal: Path, tmp_path: Path) -> None:
    closed(read_all(opened(journal, tmp_path / "r.sqlite")))
    again = opened(journal, tmp_path / "r.sqlite", code="other")
    assert (again.rebuilt, again.row) == (True, -1)
    closed(again)


def test_another_run_under_the_same_name_is_not_mistaken_for_it(tmp_path: Path) -> None:
    model_run(tmp_path / "a.sqlite", seed=6, bars=20)
    model_run(tmp_path / "b.sqlite", seed=9, bars=20)
    closed(read_all(opened(tmp_path / "a.sqlite", tmp_path / "r.sqlite")))
    again = opened(tmp_path / "b.sqlite", tmp_path / "r.sqlite")
    assert (again.rebuilt, again.row) == (True, -1)
    closed(again)


def test_a_row_that_does_not_follow_ends_it(journal: Path, tmp_path: Path) -> None:
    with sqlite3.connect(journal) as db:
        db.execute("UPDATE rows SET body = CAST(CAST(body AS TEXT) || ' ' AS BLOB) WHERE seq = 40")
    db.close()
    replica = opened(journal, tmp_path / "r.sqlite")
    with pytest.raises(IntegrityError, match="row 40"):
        read_all(replica)
    assert replica.row == 39
    closed(replica)


def test_a_record_that_could_be_folded_in_part_only_is_not_kept_and_not_counted_twice(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_all(opened(journal, tmp_path / "whole.sqlite"))
    parts = opened(journal, tmp_path / "r.sqlite")
    full = sqlite3.OperationalError("database or disk is full")
    fold = Views.after

    def fails(views: Views, step: Any, *rest: Any) -> None:
        if step.seq == 30:
            raise full
        fold(views, step, *rest)

    monkeypatch.setattr(Views, "after", fails)
    with pytest.raises(sqlite3.OperationalError):
        read_all(parts)
    closed(parts)
    monkeypatch.setattr(Views, "after", fold)
    again = read_all(opened(journal, tmp_path / "r.sqlite"))
    assert again.summary() == whole.summary()
    assert rows_of(again) == rows_of(whole)
    closed(again)
    closed(whole)


def test_a_missing_row_ends_it(journal: Path, tmp_path: Path) -> None:
    with sqlite3.connect(journal) as db:
        db.execute("DELETE FROM rows WHERE seq = 30")
    db.close()
    replica = opened(journal, tmp_path / "r.sqlite")
    with pytest.raises(IntegrityError, match="row 31 .* does not follow from row 29"):
        read_all(replica)
    closed(replica)


def test_the_journal_is_never_written_to(journal: Path, tmp_path: Path) -> None:
    before = journal.read_bytes()
    closed(read_all(opened(journal, tmp_path / "r.sqlite")))
    assert journal.read_bytes() == before


def test_the_story_of_an_order_is_told_to_its_end(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite") as live:
        replica = opened(live.path, tmp_path / "r.sqlite")

        def order(client_id: str) -> dict[str, Any]:
            read_all(replica)
            row = Reading(replica).order(client_id)
            assert row is not None
            return dict(json.loads(row))

        live.wish.say(0.1)
        (intent,) = sent(live.step(bar(1)))
        first = order(intent.client_order_id)
        assert (first["status"], first["is_open"], first["average_price"], first["venue_order_id"]) == ("pending_new", True, None, None)
        live.step(accepted(intent, T0 + 61_000_000_000, "v9"))
        assert order(intent.client_order_id)["venue_order_id"] == "v9"
        half = intent.qty_lots // 2
        live.step(filled(intent, T0 + 62_000_000_000, 1_000, lots=half, leaves=intent.qty_lots - half, fill_id="f1", fee_e8=500_000))
        part = order(intent.client_order_id)
        assert (part["status"], part["average_price"]) == ("open", "100.00")
        live.step(filled(intent, T0 + 63_000_000_000, 1_003, lots=intent.qty_lots - half, fill_id="f2"))
        done = order(intent.client_order_id)
        assert (done["status"], done["is_open"], done["leaves"], done["average_price"]) == ("filled", False, "0.000", "100.15")
        assert done["updated_seq"] > done["seq"]
        live.step(filled(intent, T0 + 64_000_000_000, 1_003, lots=intent.qty_lots - half, fill_id="f2"))
        assert len(rows(read_all(replica), "fills")) == 2, "a fill that is told twice is one fill"
        assert [row["cause"] for row in rows(replica, "fills")] == ["trade", "trade"]
        live.step(liquidated(T0 + 65_000_000_000, Side.SELL, 10, 990))
        last = rows(read_all(replica), "fills")[-1]
        assert (last["cause"], last["client_order_id"], last["decision_id"], last["notional"]) == ("liquidation", None, None, "0.99000000")
        live.step(OrderFilled(T0 + 66_000_000_000, "x1", "nobody", AAA, Side.BUY, 3, 1_000, 0, Liquidity.TAKER, 0))
        stranger = rows(read_all(replica), "fills")[-1]
        assert (stranger["client_order_id"], stranger["prediction_id"]) == ("nobody", None)
        assert figures.risk(replica)["halt_code"] == "FILL_NOT_UNDERSTOOD"
        closed(replica)


def test_refusals_of_the_venue_and_lost_answers_are_told(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite") as live:
        live.wish.say(0.1)
        (first,) = sent(live.step(bar(1)))
        live.step(OrderRejected(T0 + 61_000_000_000, first.client_order_id, "110007", "no money"))
        (second,) = sent(live.step(bar(2)))
        live.step(canceled(second, T0 + 121_000_000_000))
        (third,) = sent(live.step(bar(3)))
        live.step(OrderUnanswered(T0 + 181_000_000_000, third.client_order_id))
        live.step(OrderProvenAbsent(T0 + 182_000_000_000, third.client_order_id))
        live.step(OrderRejected(T0 + 183_000_000_000, "nobody", "1", ""))
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        told = [(row["status"], row["code"], row["reason"]) for row in rows(replica, "orders")]
        assert told == [("rejected", "110007", "no money"), ("canceled", None, "CANCELED_BY_USER"), ("absent", None, None)]
        refused = rows(replica, "decisions", stage="venue")
        told = [(row["code"], row["vetoed"], row["decision_id"] is None) for row in refused]
        assert told == [("110007", True, False), ("UNANSWERED", False, False), ("1", True, True)], "a lost answer is no refusal"
        assert figures.funnel(replica.state)["refused"] == {"110007": 1}
        closed(replica)


def test_a_halt_and_a_cancel_are_told_with_who_and_why(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite") as live:
        live.wish.say(0.1)
        (intent,) = sent(live.step(bar(1)))
        live.step(CommandGiven(T0 + 70_000_000_000, Command.HALT, "ann", "drill"))
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        risk = figures.risk(replica)
        assert (risk["state"], risk["halt_code"], risk["observed"]) == ("halted", "COMMAND", "ann: drill")
        row = Reading(replica).order(intent.client_order_id)
        assert row is not None
        assert json.loads(row)["reason"] == "RISK_COMMAND"
        assert rows(replica, "decisions", stage="risk")[-1]["reason"] == "trading is halted"
        closed(replica)


def test_an_order_that_the_limits_refuse_is_a_decision_with_figures(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite") as live:
        live.wish.say(0.9)
        refused = [output for output in live.step(bar(1)) if isinstance(output, OrderRefused)]
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        (row,) = rows(replica, "decisions", stage="limits")
        assert (row["code"], row["observed"], row["limit"]) == (refused[0].code, refused[0].observed, refused[0].limit)
        assert (row["vetoed"], row["client_order_id"]) == (True, refused[0].order.client_order_id)
        closed(replica)


def test_a_changed_grid_leaves_older_rows_as_they_were(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite") as live:
        live.step(bar(1, 1_000))
        live.step(InstrumentChanged(T0 + 61_000_000_000, instrument(tick_e8=1_000_000, lot_e8=1_000_000)))
        live.step(bar(2, 10_500))
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        assert [(row["close"], row["volume"]) for row in rows(replica, "candles")] == [("100.0", "1000.000"), ("105.00", "10000.00")]
        (first, _) = figures.instruments(replica, {AAA: ("105.00", T0)})
        assert (first["tick"], first["price_places"], first["qty_places"], first["last"]) == ("0.01", 2, 2, "105.00")
        closed(replica)


def test_the_days_result_adds_up_and_begins_again_at_midnight(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite") as live:
        replica = opened(live.path, tmp_path / "r.sqlite")
        live.wish.say(0.1)
        (intent,) = sent(live.step(bar(1)))
        live.step(filled(intent, T0 + 61_000_000_000, 1_000, fee_e8=300_000))
        live.step(bar(2, 1_010))
        read_all(replica)
        day = figures.day_result(replica)
        assert (day["since"], day["start_equity"], day["fees"]) == ("2023-11-14T00:00:00Z", "10000.00000000", "0.00300000")
        assert money_e8(day["total"]) == money_e8(day["price"]) - money_e8(day["fees"])
        assert money_e8(day["start_equity"]) + money_e8(day["total"]) == money_e8(figures.books(replica.state)["equity"])
        before = figures.books(replica.state)["equity"]
        live.step(BarClosed(T0 + DAY + 60_000_000_000, AAA, T0 + DAY, 1_010, 1_030, 1_010, 1_030, 1_000))
        read_all(replica)
        next_day = figures.day_result(replica)
        assert (next_day["since"], next_day["start_equity"], next_day["fees"]) == ("2023-11-15T00:00:00Z", before, "0.00000000")
        assert money_e8(next_day["price"]) > 0
        closed(replica)


def test_positions_are_shown_on_the_grid_with_their_share(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite") as live:
        live.wish.say(-0.1)
        (intent,) = sent(live.step(bar(1)))
        live.step(filled(intent, T0 + 61_000_000_000, 1_001))
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        (row,) = figures.positions(replica)
        assert (row["instrument"], row["side"], row["qty"][0], row["entry"], row["mark"]) == (AAA, "short", "-", "100.10", "100.0")
        assert money_e8(row["unrealised"]) > 0
        assert row["equity_share"].startswith("-0.09")
        closed(replica)


def test_a_position_adopted_before_any_price_has_no_mark(tmp_path: Path) -> None:
    from kedge.domain.events import PositionAdopted

    with Live(tmp_path / "j.sqlite") as live:
        live.step(PositionAdopted(T0 + 1, BBB, 1_000, 100_000_000))
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        (row,) = figures.positions(replica)
        assert (row["mark"], row["mark_at"], row["unrealised"], row["notional"]) == (None, None, "0.00000000", "1.00000000")
        closed(replica)


def test_a_run_that_ended_is_known_to_be_over(tmp_path: Path) -> None:
    with Live(tmp_path / "j.sqlite") as live:
        live.step(bar(1))
        replica = read_all(opened(live.path, tmp_path / "r.sqlite"))
        assert not replica.known.ended
        live.step(RunEnded(T0 + 61_000_000_000, "END_OF_DATA"))
        assert read_all(replica).known.ended
        closed(replica)


@pytest.mark.parametrize(
    ("prefix", "source", "speed", "label", "words"),
    [
        ("demo", "synthetic", "600", "DEMO", "simulated money, synthetic market, 600 x wall time"),
        ("paper", "synthetic", "1", "SYNTHETIC", "paper money, synthetic market"),
        ("paper", "replay", "max", "REPLAY", "paper money, replay of recorded prices"),
        ("paper", "live", "1", "PAPER", "paper money, live prices"),
        ("bt", "replay", "max", "BACKTEST", "simulated money, replay of recorded prices"),
        ("live", "live", "1", "LIVE", "real money, live prices"),
        ("testnet", "other", "1", "TESTNET", "testnet money, other"),
    ],
)  # fmt: skip
def test_the_badge_says_what_kind_of_money_it_is(tmp_path: Path, prefix: str, source: str, speed: str, label: str, words: str) -> None:
    started = model_run(tmp_path / "j.sqlite", bars=2)
    given = msgspec.structs.replace(started, run_id=f"{prefix}-1", source=source, speed=speed)
    badge = figures.badge(given)
    assert (badge["label"], badge["words"], badge["rung"]) == (label, words, prefix)
