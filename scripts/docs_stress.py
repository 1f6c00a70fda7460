"""docs/stress.md from the scenario tables, the assumptions and the caps of sizing."""

from __future__ import annotations

from datetime import UTC, datetime

from kedge.domain.units import E8, NS_PER_S
from kedge.risk.sizing_caps import BOOK_ES_975_FRAC_MAX, SizingCaps
from kedge.risk.stress import SCENARIOS, Assumptions, Scenario
from kedge.risk.stress.scenario import DEFAULT_BETA_E4, DEFAULT_SHORT_BETA_E4
from kedge.risk.stress.standard import FACTOR_MOVE_E8, THIN_DIVISOR
from kedge.risk.stress.table_betas import BETAS

COINS = ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE")
EQUITIES = ("SPY", "QQQ")

HEAD = """# Stress tests and sizes

{made}

A stress test asks what the account would be worth after something that has happened, or that might. The answers stand on the Risk page
and in `kedge risk stress`. They are worked out on the whole cross-margin account: wallet, positions, and other coins after their haircut.

## How a book is walked through a crisis

- The moves of a scenario are relative: today's positions meet the falls of then, from today's marks. Each bar is judged at its open, at
  all lows, at all highs and at its close. Marks are rounded against the position.
- Funding of that time is paid at each settlement where it is known. Where it is not, every position pays {funding} per interval,
  {intervals} times, whichever side it is on, and the result says `funding-assumed`.
- Maintenance margin follows the tiers by the value at that mark, with the fee of closing in it. **Equity at or below maintenance margin is
  a liquidation**: what is left is gone, closing what gapped past it is paid on top, and nothing bounces back. The loss may pass 100 %.
- An account that survives is charged for leaving at its worst moment: slippage of the visible book times {slip}, and the taker fee. What
  the visible book does not take goes at the price collar (`thin-book`); without a book the collar stands in for it (`no-depth`).
- All assets of a bar are at their lows together, then at their highs together. Where a hedged book would be liquidated only if every
  position met its own worst price at once, the result says `liquidated-if-extremes-coincide`.
- Other positions that gain are listed by their place in the venue's queue of auto-deleveraging; the hedge may be closed first.

An asset without a path of its own moves by its beta, bar by bar: its log move is the factor's times beta (`by-beta`). A coin without an
estimated beta is a guess and named one (`default-beta`): it falls {long_beta} times as far as the factor when held, and only
{short_beta} times when sold short, so that a guess never hedges in full.

## The scenarios

Worst moves are from the price at the start to the lowest low; `~` is by beta.

{scenarios}

Beside them every book is asked six instant shocks: the factor (BTC, else the largest holding) {factor} down and up, the others following by
their covariance and as if all were one; funding alone; and the visible depth divided by {thin}. Reverse stress goes the other way: the
smallest shock, counted in standard deviations under the covariance (Mahalanobis), at which the account loses a given share or is
liquidated. It is searched from several starts on a continuous copy of the book, and every answer is confirmed in exact integers.

## Where the tables come from

The product carries relative moves in whole basis points, never prices. Lows are rounded down and highs up. With the market history at hand
`python -m scripts.stress_tables --check` works all of them out again and compares.

{sources}

Betas are slopes of daily log returns by least squares: on UTC days for BTC, from one New York session to the next for SPY (the coin's
hour that ends at 21:00 UTC).

{betas}

They are averages of years. In a crisis they grow and come closer to each other, so a scenario by beta may well understate.

## Sizes

Every sizing function is pure, names its units and **refuses** rather than relaxes: the answer is a size or a refusal with a code, what was
observed and what it may be. The caps act in this order and the smallest binds: the signal, Kelly (at most {kelly} of full Kelly, less where
the lower confidence bound of the Sharpe ratio or of the winning rate leaves less), the volatility target (lagged by a period, floored,
capped, left alone within a band of 10 %), the loss at the stop with the gap beyond it ({trade_risk} of equity), the expected shortfall of
the book at 97.5 % and one day ({book_es} of equity by default, a configuration above {book_es_max} is refused), and leverage. Risk parity
and both published variants of hierarchical risk parity spread a budget over several assets.
[Limits](limits.md#how-sizes-are-capped) tells how the caps act on what a strategy asks for.
"""


def stress_page(made: str) -> str:
    """The page; `made` says by what."""
    assumed, caps = Assumptions(), SizingCaps()
    return HEAD.format(
        made=made,
        funding=f"{assumed.funding_shock_e8 / E8:.1%}",
        intervals=assumed.funding_intervals,
        slip=f"{assumed.slip_multiplier_e2 / 100:g}",
        long_beta=f"{DEFAULT_BETA_E4 / 10_000:g}",
        short_beta=f"{DEFAULT_SHORT_BETA_E4 / 10_000:g}",
        scenarios=scenario_table(),
        factor=f"{FACTOR_MOVE_E8 / E8:.0%}",
        thin=THIN_DIVISOR,
        sources=source_table(),
        betas=beta_table(),
        kelly=f"{caps.kelly_multiple_max:g}",
        trade_risk=f"{caps.trade_risk_frac:.0%}",
        book_es=f"{caps.book_es_975_frac:.1%}",
        book_es_max=f"{BOOK_ES_975_FRAC_MAX:.0%}",
    )


def scenario_table() -> str:
    """A row per scenario: dates, bars, the worst move of each asset."""
    assets = (*COINS, *EQUITIES)
    head = f"| id | what | days (UTC) | bars | {' | '.join(assets)} | funding of |\n|---|---|---|---|{'---|' * len(assets)}---|"
    return "\n".join([head, *(_scenario_row(one, assets) for one in SCENARIOS.values())])


def source_table() -> str:
    """A row per file of history: what it gave, to which scenarios, and its hash."""
    uses: dict[tuple[str, str], list[str]] = {}
    for scenario in SCENARIOS.values():
        for source in scenario.sources.values():
            uses.setdefault((source.words, source.sha256), []).append(f"`{scenario.scenario_id}`")
    rows = [f"| {words} | {', '.join(names)} | `{sha256}` |" for (words, sha256), names in sorted(uses.items())]
    return "\n".join(["| bars | used by | SHA-256 of the file |\n|---|---|---|", *rows])


def beta_table() -> str:
    """A row per asset and factor."""
    rows = [
        f"| {one.asset} | {one.factor} | {one.beta_e4 / 10_000:.2f} | {one.n_days:,} | {one.first_day} .. {one.last_day} |"
        for factor in BETAS.values()
        for one in factor.values()
    ]
    return "\n".join(["| asset | factor | beta | returns | days |\n|---|---|---|---|---|", *rows])


def _scenario_row(scenario: Scenario, assets: tuple[str, ...]) -> str:
    dates = f"{_day(scenario.start_ns)} .. {_day(scenario.end_ns - 1)}"
    bars = "hourly" if scenario.bar_minutes == 60 else "sessions"
    cells = " | ".join(_worst(scenario, asset) for asset in assets)
    return f"| `{scenario.scenario_id}` | {scenario.title} | {dates} | {bars} | {cells} | {', '.join(scenario.settlements) or '-'} |"


def _worst(scenario: Scenario, asset: str) -> str:
    if asset in EQUITIES and asset not in scenario.rows:
        return ""
    return f"{'' if asset in scenario.rows else '~'}{scenario.worst_bps(asset) / 100:.1f} %"


def _day(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // NS_PER_S, UTC).date().isoformat()
