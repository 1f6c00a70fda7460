"""The newest fills of a run, against its records read one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.events import OrderFilled
from kedge.domain.orders import FillCause, Liquidity, Side
from kedge.domain.record import RunStarted, Step
from kedge.engine.costs import CostLedger
from kedge.services.lineage_journal import RunRecords
from kedge.services.newest_fills import newest_fills
from kedge.storage.journal_reader import SqliteJournalReader

from ...builders import AAA, T0
from .lineage_world import journal_of, model_run, rule_run, stocked, written


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("state")
    return journal_of(state, model_run(state, stocked(state)))


def recorded(path: Path) -> list[tuple[int, str, str, int]]:
    with SqliteJournalReader(path) as reader:
        steps = [record for record in reader.records() if isinstance(record, Step)]
    return [(s.seq, s.event.fill_id, s.event.client_order_id, s.event.fee_e8) for s in steps if isinstance(s.event, OrderFilled)]


@pytest.mark.parametrize("page_rows", [1, 7, 4_096])
@pytest.mark.parametrize("limit", [1, 4, 1_000])
def test_they_are_the_last_fills_of_the_records_oldest_first(path: Path, limit: int, page_rows: int) -> None:
    expected = recorded(path)
    assert len(expected) > 4
    with RunRecords(path) as run:
        found = newest_fills(run, limit, page_rows=page_rows)
    assert [(one.seq, one.fill_id, one.client_order_id) for one in found] == [one[:3] for one in expected[-limit:]]
    assert [round(float(one.fee) * 10**8) for one in found] == [one[3] for one in expected[-limit:]]


def test_each_tells_its_slippage_as_a_fold_of_the_whole_journal_does(path: Path) -> None:
    with SqliteJournalReader(path) as reader:
        records = list(reader.records())
    started = records[0]
    assert isinstance(started, RunStarted)
    ledger = CostLedger({one.instrument_id: one for one in started.instruments})
    expected = []
    for record in records:
        if isinstance(record, Step):
            if isinstance(record.event, OrderFilled):
                expected.append(ledger.fill(record.event))
            ledger.took(record.outputs)
    with RunRecords(path) as run:
        for limit, page_rows in ((3, 4_096), (1_000, 5)):
            found = newest_fills(run, limit, page_rows=page_rows)
            told = [(one.slippage, one.slippage_bps, one.slippage_against) for one in found]
            assert told == [(one.slippage, one.bps, one.against) for one in expected[-limit:]]
            assert all(one.slippage_against for one in found)


def test_a_run_of_a_rule_has_its_fills_too_and_each_is_worth_price_times_quantity(tmp_path: Path) -> None:
    with RunRecords(journal_of(tmp_path, rule_run(tmp_path))) as run:
        found = newest_fills(run, 1_000)
    assert found
    for one in found:
        assert float(one.notional or 0) == pytest.approx(float(one.price or 0) * float(one.qty or 0), rel=1e-12)


def a_fill(instrument: str, cause: FillCause, client_order_id: str) -> OrderFilled:
    return OrderFilled(
        ts_ns=T0,
        fill_id=f"f-{cause}",
        client_order_id=client_order_id,
        instrument=instrument,
        side=Side.SELL,
        qty_lots=3,
        price_ticks=1_000,
        fee_e8=-5,
        liquidity=Liquidity.MAKER,
        leaves_lots=0,
        cause=cause,
    )


def test_what_is_not_known_of_a_fill_is_null_and_never_zero(tmp_path: Path) -> None:
    liquidated, foreign = a_fill(AAA, FillCause.LIQUIDATION, ""), a_fill("bybit-linear:NOTOURS", FillCause.ADOPTED, "theirs")
    with RunRecords(written(tmp_path, [(liquidated, ()), (foreign, ())])) as run:
        first, second = newest_fills(run, 10)
    assert (first.client_order_id, first.cause, first.fee, first.side, first.liquidity) == (
        None,
        "liquidation",
        "-0.00000005",
        "sell",
        "maker",
    )
    assert first.price is not None
    assert (second.qty, second.price, second.notional, second.client_order_id) == (None, None, None, "theirs")


def test_a_run_without_fills_has_none(tmp_path: Path) -> None:
    with RunRecords(written(tmp_path, [])) as run:
        assert newest_fills(run, 5) == []
