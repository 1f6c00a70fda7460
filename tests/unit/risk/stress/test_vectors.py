"""The published vectors of stress and of perpetuals, each through the functions the product uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.builders import HOUR
from tests.unit.risk.stress.makers import CALM, book, perp, position, tiers
from tests.unit.risk.var.reference import differences, vector

from kedge.domain.units import E8
from kedge.kernel.funding import PREMIUM_BAND_E8, funding_paid_e8, funding_rate_e8
from kedge.kernel.margin import isolated_liquidation_e8, maintenance_margin_e8
from kedge.kernel.positions import unrealised_e8
from kedge.market.synthetic import funding_rate_e8 as funding_of_premiums_e8
from kedge.risk.stress.factors import correlation_one, propagated
from kedge.risk.stress.revalue import shock
from kedge.risk.stress.reverse import elliptical
from kedge.risk.stress.reverse_book import Target, reverse
from kedge.risk.stress.types import Assumptions, Depth, Level

FINE = {
    "tick_e8": 1_000_000,
    "lot_e8": 100_000,
    "price_max_ticks": 100_000_000,
    "position_max_lots": 200_000,
    "order_qty_max_lots": 100_000,
    "market_qty_max_lots": 100_000,
}
"""A tick of 0.01 and a lot of 0.001."""


def agree(got: Any, told: dict[str, Any], name: str, keys: tuple[str, ...] | None = None) -> None:
    found = vector(told, name)
    expected = {key: found["expected"][key] for key in keys} if keys else found["expected"]
    assert differences(got, expected, found["tolerance"]["abs"], found["tolerance"]["rel"]) == []


def test_stress_factor(quant: dict[str, Any]) -> None:
    given = vector(quant, "STRESS-FACTOR")["inputs"]
    weights, cov = np.array(given["weights"]), np.array(given["cov"])
    moves = propagated(cov, given["shocked_asset"], given["shock"])
    alone = weights[given["shocked_asset"]] * given["shock"]
    got = {"propagated_shock": moves.tolist(), "pnl_only_shocked": alone, "pnl_propagated": float(weights @ moves)}
    agree(got, quant, "STRESS-FACTOR")
    as_one = correlation_one(cov, given["shocked_asset"], given["shock"])
    assert float(weights @ as_one) < float(weights @ moves)


def test_stress_reverse(quant: dict[str, Any]) -> None:
    given = vector(quant, "STRESS-REVERSE")["inputs"]
    found = elliptical(np.array(given["weights"]), np.array(given["cov"]), given["target_loss"])
    got = {
        "shock": found.moves.tolist(),
        "mahalanobis": found.distance,
        "portfolio_loss": -float(np.array(given["weights"]) @ found.moves),
        "joint_prob_exceed_chi2": found.tail_chi2,
        "one_dim_normal_tail": found.tail_normal,
    }
    agree(got, quant, "STRESS-REVERSE")


@pytest.mark.parametrize("number", range(6))
def test_perp_stress(quant: dict[str, Any], number: int) -> None:
    found = vector(quant, "PERP-STRESS")
    given, expected = found["inputs"], dict(found["expected"]["rows"][number])
    spec = perp(tiers=tiers(*given["tiers_limit_rate"]), taker_fee_e8=round(given["taker_fee"] * E8), **FINE)
    sides = {side: tuple(Level(round(price * 100), round(qty * 1_000)) for price, qty in given["book"][side]) for side in ("bids", "asks")}
    held = position(
        lots=round(given["qty"] * 1_000), mark_ticks=given["mark"] * 100, entry_ticks=given["entry"] * 100, instrument=spec,
        leverage_e2=given["leverage"] * 100, depth=Depth(**sides),
    )  # fmt: skip
    assumed = Assumptions(
        funding_shock_e8=round(given["funding_shock"] * E8), funding_intervals=given["funding_periods"],
        slip_multiplier_e2=round(given["slip_mult"] * 100), margin_closing_fee=False,
    )  # fmt: skip
    move = given["shocks"][number]
    result = shock(book(given["wallet"], held), {"BTC": round(move * E8)}, assumed)
    got = {
        "shock": move,
        "mark": result.positions[0].mark_ticks / 100,
        "equity": result.equity_e8 / E8,
        "maintenance_margin": result.maintenance_e8 / E8,
        "margin_ratio": "inf" if result.margin_ratio_e8 is None else result.maintenance_e8 / result.equity_e8,
        "liquidated": result.liquidated,
        "exit_slippage_frac": result.positions[0].slippage_e8 / E8,
        "equity_after_exit": result.equity_after_e8 / E8,
    }
    assert differences(got, expected, found["tolerance"]["abs"], found["tolerance"]["rel"]) == []


def test_perp_mm(quant: dict[str, Any]) -> None:
    given = vector(quant, "PERP-MM")["inputs"]
    brackets = tiers(*given["tiers_limit_rate"])
    table = np.array([(tier.notional_max_e8, tier.maintenance_rate_e8, tier.deduction_e8) for tier in brackets], np.int64)
    margins = [maintenance_margin_e8(value * E8, 100, 1, 0, table) / E8 for value in given["position_values"]]
    agree({"deductions": [tier.deduction_e8 / E8 for tier in brackets], "mm": margins}, quant, "PERP-MM", ("deductions", "mm"))


def test_perp_liq(quant: dict[str, Any]) -> None:
    found = vector(quant, "PERP-LIQ")
    for case, row in zip(found["inputs"]["cases_side_entry_qty_leverage_mmr_deduction_extra"], found["expected"]["rows"], strict=True):
        side, entry, qty, leverage, rate, deduction, extra = case
        lots = round(qty * 1_000) * (1 if side == "long" else -1)
        table = np.array([(10**18, round(rate * E8), deduction * E8)], np.int64)
        got = isolated_liquidation_e8(entry * E8, lots, leverage * 100, extra * E8, 1_000_000, 1_000, table)
        assert differences(got / E8, row["liq_mark_value_mm"], found["tolerance"]["abs"], found["tolerance"]["rel"]) == []


def test_perp_cross(quant: dict[str, Any]) -> None:
    """The distance to liquidation under a common shock is the reverse stress under a covariance that knows one factor alone."""
    given = vector(quant, "PERP-CROSS")["inputs"]
    brackets, assets, betas, held = tiers(*given["tiers_limit_rate"]), ("BTC", "ETH", "SOL"), [], []
    for asset, (side, qty, entry, mark, beta) in zip(assets, given["positions"], strict=True):
        lots = round(qty * 1_000) * (1 if side == "long" else -1)
        spec = perp(asset, tiers=brackets, **FINE)
        held.append(position(asset, lots, round(mark * 100), entry_ticks=round(entry * 100), instrument=spec))
        betas.append(beta)
    account = book(given["wallet"], *held)
    still = shock(account, dict.fromkeys(assets, 0), CALM)
    (nearest,) = reverse(account, assets, np.outer(betas, betas) * 0.01**2, Target.LIQUIDATION, assumptions=CALM)
    assert nearest.confirmed
    assert nearest.result.liquidated
    got = {
        "equity": still.equity_before_e8 / E8,
        "maintenance_margin": still.maintenance_e8 / E8,
        "mm_rate": still.maintenance_e8 / still.equity_e8,
        "liquidation_shock": -nearest.distance * 0.01,
    }
    agree(got, quant, "PERP-CROSS", tuple(got))
    assert nearest.result.equity_e8 / E8 == pytest.approx(539.2587, abs=2.0)


def test_perp_pnl_of_linear_contracts(quant: dict[str, Any]) -> None:
    found = vector(quant, "PERP-PNL")
    cases = zip(found["inputs"]["cases_side_kind_entry_exit_qty_rate_mark"], found["expected"]["rows"], strict=True)
    linear = [(case, row) for case, row in cases if row["kind"] == "linear"]
    assert len(linear) == 2
    for (side, _, entry, leave, qty, rate, mark), row in linear:
        lots = round(qty * 1_000) * (1 if side == "long" else -1)
        gained = unrealised_e8(lots, lots * entry * 10 * 10_000, leave * 10, 10_000)
        paid = funding_paid_e8(lots, mark * E8, round(rate * E8), 10_000_000, 10_000)
        got = {"pnl": gained / E8, "funding_paid": paid / E8, "net": (gained - paid) / E8}
        assert differences(got, {key: row[key] for key in got}, found["tolerance"]["abs"], found["tolerance"]["rel"]) == []


def test_perp_fundrate(quant: dict[str, Any]) -> None:
    found = vector(quant, "PERP-FUNDRATE")
    for (interest, premium), row in zip(found["inputs"]["cases_interest_premium"], found["expected"]["rows"], strict=True):
        got = funding_rate_e8(round(interest * E8), round(premium * E8), E8) / E8
        assert differences(got, row["rate"], found["tolerance"]["abs"], found["tolerance"]["rel"]) == []


def test_perp_fundrate_weights_premiums_towards_the_settlement(quant: dict[str, Any]) -> None:
    """Ten times the premiums of the vector, so that they leave the band in which the interest rate alone counts."""
    found = vector(quant, "PERP-FUNDRATE")
    premiums = [round(10 * premium * E8) for premium in found["inputs"]["premium_minutes"]]
    rate_e8 = funding_of_premiums_e8(premiums, 8 * HOUR)
    assert rate_e8 + PREMIUM_BAND_E8 == pytest.approx(10 * found["expected"]["weighted_premium"] * E8, abs=0.5)
