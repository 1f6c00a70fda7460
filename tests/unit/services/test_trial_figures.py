"""Figures of a run out of its journal: equal to the engine's own books, and of holding by hand."""

from __future__ import annotations

import pytest
from tests.builders import AAA, BBB, HOUR, MINUTE, T0, WALLET_E8, ListJournal, Scripted, a_run, bar, fundings, instrument, walk

from kedge.domain.events import BarClosed, CashMoved
from kedge.domain.outputs import Output, Predicted, RiskStateChanged
from kedge.domain.record import Step
from kedge.domain.units import E8, float_hex, money_text
from kedge.services.trial_figures import Ledger, RunFigures, Said, hold_figures, run_figures
from kedge.simulation.exchange import FundingRate


def played(seed: int, bars: int = 120, ids: tuple[str, ...] = (AAA, BBB)) -> tuple[ListJournal, dict[str, object]]:
    """A run of a restless strategy over a random walk with funding, and the engine's own summary."""
    journal = ListJournal()
    run = a_run(
        walk(seed, bars, ids, step=3), journal, fundings(12, ids), Scripted((0.2, 0.2, -0.1, 0.0, 0.1)), [instrument(i) for i in ids]
    )
    run.drive()
    return journal, run.engine.summary()


def records(journal: ListJournal) -> list[object]:
    assert journal.started is not None
    return [journal.started, *(Step(seq=n + 1, source="backtest", event=e, outputs=o) for n, (e, o) in enumerate(journal.steps))]


def figures_of(journal: ListJournal) -> RunFigures:
    return run_figures(records(journal))[1]  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_books_of_the_figures_are_the_engines(seed: int) -> None:
    journal, summary = played(seed)
    figures = figures_of(journal)
    assert figures.fills >= 20
    assert (money_text(figures.equity_e8), money_text(figures.fees_e8), money_text(figures.funding_e8)) == (
        summary["equity"], summary["fees"], summary["funding_paid"],
    )  # fmt: skip
    assert (figures.fills, figures.round_trips) == (summary["fills"], summary["round_trips"])
    assert figures.net_frac == pytest.approx((figures.equity_e8 - WALLET_E8) / WALLET_E8, abs=0)
    assert figures.gross_e8 == figures.equity_e8 - WALLET_E8 + figures.fees_e8 + figures.funding_e8
    assert 0 < figures.drawdown_frac <= float(str(summary["drawdown"])) + 1e-8
    assert (figures.bars, figures.bar_times, figures.first_ts_ns, figures.last_ts_ns) == (240, 120, T0, T0 + 120 * MINUTE)
    assert 0 < figures.in_market_frac <= 1
    assert 0 < figures.exposure_mean_frac < 0.5
    assert figures.first_fill_id != figures.last_fill_id


def test_a_run_that_never_traded_has_no_fills_and_no_fall() -> None:
    journal = ListJournal()
    run = a_run(walk(4, 10), journal, (), Scripted((0.0,)))
    run.drive()
    figures = figures_of(journal)
    assert (figures.fills, figures.net_frac, figures.drawdown_frac, figures.first_fill_id, figures.in_market_frac) == (0, 0.0, 0.0, "", 0.0)


def test_bars_of_before_the_beginning_count_for_nothing_and_money_that_came_is_no_profit() -> None:
    journal, _ = played(1, bars=3, ids=(AAA,))
    assert journal.started is not None
    ledger = Ledger(journal.started)
    before = BarClosed(T0, AAA, T0 - MINUTE, 900, 900, 900, 900, 5)
    for n, event in enumerate((before, CashMoved(T0, 5 * E8, "deposit"), bar(1))):
        ledger.take(Step(seq=n + 1, source="live", event=event))
    figures = ledger.figures()
    assert (figures.bars, figures.first_ts_ns, figures.equity_e8, figures.net_frac) == (1, T0, WALLET_E8 + 5 * E8, 0.0)


def test_slippage_is_what_a_fill_cost_beyond_the_mark_of_its_decision() -> None:
    journal, _ = played(1)
    plain = figures_of(journal)
    assert plain.slippage_e8 != 0
    assert abs(plain.slippage_e8) < plain.turnover_frac * WALLET_E8 * 0.01


def test_predictions_are_told_with_their_bar_and_whether_they_were_to_be_followed() -> None:
    journal, _ = played(1, bars=2, ids=(AAA,))
    assert journal.started is not None
    ledger = Ledger(journal.started)

    def said(number: int, veto: str = "") -> Predicted:
        return Predicted(
            prediction_id=f"r.p{number}",
            instrument=AAA,
            model_sha256="m",
            features_sha256="f",
            score_hex=float_hex(0.1),
            probability_hex=float_hex(0.625),
            probability_e8=62_500_000,
            expected_return_e8=0,
            horizon_ns=MINUTE,
            veto=veto,
        )

    for n, veto in enumerate(("", "OUT_OF_DOMAIN")):
        ledger.take(Step(seq=n + 1, source="live", event=bar(n + 1), outputs=(said(n, veto),)))
    assert ledger.predictions == [Said(T0 + MINUTE, AAA, 0.625, False), Said(T0 + 2 * MINUTE, AAA, 0.625, True)]
    assert ledger.figures().predictions == 2


def test_holding_is_equal_weights_bought_once() -> None:
    specs = {AAA: instrument(AAA), BBB: instrument(BBB)}
    fee = specs[AAA].taker_fee_e8 / E8
    bars = [
        bar(1, 1_100, span=HOUR, open=1_000), bar(1, 500, BBB, span=HOUR, open=500),
        bar(2, 900, span=HOUR, open=1_100), bar(2, 500, BBB, span=HOUR, open=500),
        bar(3, 1_200, span=HOUR, open=900), bar(3, 600, BBB, span=HOUR, open=500),
    ]  # fmt: skip
    rates = [FundingRate(T0 + 2 * HOUR, AAA, 1_000_000), FundingRate(T0 + 90 * HOUR, AAA, 77)]
    hold = hold_figures(specs, bars, rates)
    assert hold.price_frac == pytest.approx(0.2)
    assert hold.by_instrument == {AAA: pytest.approx(0.2), BBB: pytest.approx(0.2)}
    assert hold.fees_frac == pytest.approx(fee * 2.2)
    assert hold.funding_frac == pytest.approx(0.01 * 0.9 / 2)
    assert hold.net_frac == pytest.approx(0.2 - hold.fees_frac - hold.funding_frac)
    assert hold.drawdown_frac == pytest.approx(1 - (0.9 + 1.0) / (1.1 + 1.0))


def test_the_part_of_an_instrument_that_begins_later_lies_idle_until_then() -> None:
    specs = {AAA: instrument(AAA), BBB: instrument(BBB)}
    bars = [
        bar(1, 2_000, span=HOUR, open=1_000),
        bar(2, 2_000, span=HOUR, open=2_000), bar(2, 500, BBB, span=HOUR, open=500),
        bar(3, 2_000, span=HOUR, open=2_000), bar(3, 500, BBB, span=HOUR, open=500),
    ]  # fmt: skip
    hold = hold_figures(specs, bars, [FundingRate(T0 + HOUR, BBB, 1_000_000), FundingRate(T0 + 3 * HOUR, BBB, 1_000_000)])
    assert (hold.price_frac, hold.drawdown_frac) == (pytest.approx(0.5), 0.0)
    assert hold.funding_frac == pytest.approx(0.01 / 2)


def test_a_settlement_within_a_bar_is_paid_by_who_holds() -> None:
    day = 24 * HOUR
    bars = [bar(1, 1_100, span=day, open=1_000), bar(2, 1_200, span=day, open=1_100)]
    rates = [FundingRate(T0 + n * 8 * HOUR, AAA, 1_000_000) for n in range(8)]
    hold = hold_figures({AAA: instrument(AAA)}, bars, rates)
    assert hold.funding_frac == pytest.approx(0.01 * (1.0 + 1.0 + 1.1 + 1.1 + 1.1 + 1.2))


def test_brakes_are_told_with_their_time_and_limit_and_forgotten_when_they_open() -> None:
    journal, _ = played(1, bars=2, ids=(AAA,))
    assert journal.started is not None
    ledger = Ledger(journal.started)

    def braked(number: int, state: str, code: str) -> None:
        change: Output = RiskStateChanged(state=state, code=code, observed="10.1%", limit="10%")
        ledger.take(Step(seq=number, source="live", event=bar(number), outputs=(change,)))

    braked(1, "halted", "DAILY_LOSS")
    braked(2, "running", "NEW_DAY")
    figures = ledger.figures()
    assert (figures.risk_state, figures.risk_code, figures.risk_ts_ns, figures.brakes) == ("running", "", 0, 1)
    braked(3, "halted", "DRAWDOWN")
    figures = ledger.figures()
    assert (figures.risk_state, figures.risk_code, figures.risk_ts_ns) == ("halted", "DRAWDOWN", bar(3).ts_ns)
    assert (figures.risk_observed, figures.risk_limit, figures.brakes) == ("10.1%", "10%", 2)
