"""What a trial came to: the model out of fold and out of sample, money earned and paid, holding beside it, and where to look further."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from kedge.apps.model_job import Done
from kedge.apps.output import print_rows
from kedge.apps.strategy_choice import models_of
from kedge.domain.errors import InvalidInput
from kedge.domain.events import BarClosed
from kedge.domain.units import NS_PER_MS, money_text
from kedge.learning.dataset import Dataset
from kedge.market.intervals import utc_text
from kedge.ops.config import Config
from kedge.ops.state_folder import JOURNAL_NAME, run_folder
from kedge.ops.trader_status import read_trader_status
from kedge.services.market_data import MarketData
from kedge.services.market_span import Span, recorded_part
from kedge.services.trial_figures import HoldFigures, RunFigures, Said, hold_figures, run_figures
from kedge.storage.journal_reader import SqliteJournalReader

if TYPE_CHECKING:
    from rich.console import Console

    from kedge.learning.evaluation import Metrics
    from kedge.learning.model import Model

SAMPLE_MIN: Final = 30
"""Fewer labelled predictions than this, and figures of them would be noise."""
INVENTED: Final = "not recorded in the traded part; what was charged is the simulated exchange's own rate, and holding is shown without any"


def report(settings: Config, run_id: str, done: Done, market: MarketData, whole: Dataset, cut_ns: int) -> dict[str, Any]:
    """Everything as plain data."""
    models = models_of(settings.state_folder)
    model, record = models.load(done.model_sha256), models.training(done.model_sha256)
    with SqliteJournalReader(run_folder(settings.state_folder, run_id) / JOURNAL_NAME) as journal:
        started, figures, said = run_figures(journal.records())
    part = recorded_part(market, Span(from_ts_ns=cut_ns, one_grid=True))
    specs = {one.instrument_id: one for one in started.instruments}
    hold = hold_figures(specs, (event for event in part.events if isinstance(event, BarClosed)), part.fundings)
    settled = {rate.instrument for rate in part.fundings}
    invented = sorted(name for name, spec in specs.items() if spec.funding_interval_ns and name not in settled)
    sampled, labels = out_of_sample(model, whole, cut_ns, said)
    status = read_trader_status(settings.state_folder, datetime.now(UTC))
    funnel = status.get("funnel") if status.get("run_id") == run_id else None
    return {
        "run_id": run_id,
        "model": done.model_sha256,
        "model_version": done.version_text,
        "instruments": sorted(specs),
        "learned": {"from": utc(whole.first_ts_ns), "to": utc(cut_ns), "rows": record.rows},
        "traded": {"from": utc(figures.first_ts_ns), "to": utc(figures.last_ts_ns), "bars": figures.bars},
        "out_of_fold": dict(record.figures),
        "baseline": dict(record.baseline),
        "calibration": dict(record.calibration),
        "verdict": list(_verdict(record)),
        "out_of_sample": sampled,
        "labels": labels,
        "run": plain_figures(figures),
        "hold": msgspec.to_builtins(hold),
        "risk_state": figures.risk_state,
        "halt_code": figures.risk_code,
        "funnel": funnel,
        "funding_not_recorded": invented,
        "assumptions": {
            **market.assumptions,
            **{f"grid {n}": words for n, words in enumerate(part.assumptions, 1)},
            **{f"{name} funding": INVENTED for name in invented},
        },
        "sentence": sentence(figures, hold),
    }


def _verdict(record: Any) -> Sequence[str]:
    from kedge.services.training.words import verdict

    return verdict(record)


def out_of_sample(model: Model, whole: Dataset, cut_ns: int, said: Sequence[Said]) -> tuple[dict[str, str], dict[str, int]]:
    """What the predictions of the traded part were worth against what came, and how many labels there were.

    Labels are the training's own rule on bars that the model never saw; the last ones, whose horizon leaves the data, are none.
    """
    from kedge.learning.evaluation import evaluate
    from kedge.learning.training_data import build
    from kedge.services.training.record import figures_of

    from_ns = cut_ns - _warmup_ns(model)
    try:
        data = build(whole.take(max(from_ns, whole.first_ts_ns), None), model.feature_set, model.label)
    except InvalidInput:  # nothing of it has a label
        return {}, {"predictions": len(said), "labelled": 0, "vetoed": sum(one.is_vetoed for one in said)}
    probability = {(one.ts_ns, one.instrument): one.probability for one in said}
    keys = [(int(ts), data.instruments[int(n)]) for ts, n in zip(data.ts_ns, data.instrument_index, strict=True)]
    rows = np.array([n for n, key in enumerate(keys) if key in probability], np.int64)
    counted = {"predictions": len(said), "labelled": len(rows), "vetoed": sum(one.is_vetoed for one in said)}
    if len(rows) < SAMPLE_MIN:
        return {}, counted
    p = np.array([probability[keys[n]] for n in rows], np.float64)
    metrics: Metrics = evaluate(p, data.y[rows], data.weight[rows])
    return dict(figures_of(metrics)), counted


def _warmup_ns(model: Model) -> int:
    from kedge.learning.features import FeatureSet

    bars = FeatureSet(model.feature_set.features).warmup_bars + model.label.volatility_bars
    return (bars + 1) * model.interval_ns


def plain_figures(figures: RunFigures) -> dict[str, Any]:
    """Money as exact decimal text, times in UTC ('' for none), the rest as it is."""
    told: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(figures).items():
        if name.endswith("_e8"):
            told[name.removesuffix("_e8")] = money_text(value)
        elif name.endswith("_ts_ns"):
            told[name.removesuffix("_ts_ns")] = utc(value) if value else ""
        else:
            told[name] = value
    return told


def sentence(figures: RunFigures, hold: HoldFigures) -> str:
    """The result in plain words."""
    if not figures.fills:
        did = "The model did not trade"
    elif figures.net_frac < 0:
        did = f"The model LOST {-figures.net_frac:.2%} of its money after costs"
    else:
        did = f"The model earned {figures.net_frac:.2%} after costs"
    held = "lost" if hold.net_frac < 0 else "earned"
    beside = f"; holding the same instruments {held} {abs(hold.net_frac):.2%} with {hold.drawdown_frac:.1%} drawdown"
    return f"{did}{beside}, fully invested, against a mean exposure of {figures.exposure_mean_frac:.1%} here.{_braked(figures)}"


def _braked(figures: RunFigures) -> str:
    """What limits did to the trading, '' for nothing."""
    if not figures.brakes:
        return ""
    if not figures.risk_ts_ns:
        return f" Limits held back new risk {figures.brakes} times, and let it go on again."
    why = f"{figures.risk_code} was {figures.risk_observed} against a limit of {figures.risk_limit}"
    return f" New risk ENDED at {utc(figures.risk_ts_ns)} UTC ({figures.risk_state}: {why}); from there on nothing new was opened."


def utc(ts_ns: int) -> str:
    """Minutes of UTC."""
    return utc_text(ts_ns // NS_PER_MS)


def draw(target: Console, told: Mapping[str, Any]) -> None:
    """For a person."""
    run, hold, oof, oos = told["run"], told["hold"], told["out_of_fold"], told["out_of_sample"]
    span = f"{told['traded']['from']} to {told['traded']['to']} UTC"
    learned = f"learned from {told['learned']['rows']:,} rows up to {told['learned']['to']}"
    rows = [
        ("model", f"{told['model_version']} ({told['model'][:12]}), {learned}"),
        ("traded", f"{told['traded']['bars']:,} bars, {span}"),
        ("out of fold", f"Brier {oof['brier']}, skill {oof['brier_skill']}, AUC {oof['auc']}"),
        ("out of sample", _sampled(oos, told["labels"])),
        ("trades", f"{run['fills']} fills, {run['round_trips']} round trips, turnover {run['turnover_frac']:.1f} times the wallet"),
        ("result before costs", _cents(run["gross"])),
        ("fees", _cents(run["fees"])),
        ("funding paid", _cents(run["funding"])),
        ("slippage", f"{_cents(run['slippage'])} against {_seen(run)} of the decisions (in the result before costs)"),
        ("net result", f"{run['net_frac']:+.2%} of {_cents(run['wallet'])}: equity {_cents(run['equity'])}"),
        ("drawdown", f"{run['drawdown_frac']:.2%}"),
        ("exposure", f"mean {run['exposure_mean_frac']:.1%} of equity, in the market {run['in_market_frac']:.0%} of the time"),
        ("holding", f"{hold['net_frac']:+.2%} after costs ({hold['price_frac']:+.2%} by price), drawdown {hold['drawdown_frac']:.1%}"),
        ("risk state", told["risk_state"] + (f" ({told['halt_code']})" if told["halt_code"] else "")),
    ]
    print_rows(target, ("what", "came to"), rows)
    missing = told["funding_not_recorded"]
    assumed = (f"Funding of {', '.join(missing)}: {INVENTED}.",) if missing else ()
    for words in (*told["verdict"], *assumed, told["sentence"]):
        target.print(words, highlight=False, soft_wrap=True)
    seconds = ", ".join(f"{name} {took:.1f} s" for name, took in told["seconds"].items())
    target.print(f"took: {seconds}", highlight=False)
    ask = f"kedge audit trace {run['first_fill_id']} · " if run["first_fill_id"] else ""
    target.print(f"{ask}kedge audit verify {told['run_id']} · kedge replay {told['run_id']}", highlight=False, soft_wrap=True)


def _seen(run: Mapping[str, Any]) -> str:
    """Which price of its decision each fill is measured against."""
    return f"the {run['slippage_against']}" if run["slippage_against"] else "the prices"


def _cents(amount: str) -> str:
    return f"{Decimal(amount):,.2f}"


def _sampled(figures: Mapping[str, str], labels: Mapping[str, int]) -> str:
    counted = f"{labels['labelled']:,} of {labels['predictions']:,} predictions have a label"
    if not figures:
        return f"{counted}: too few to judge"
    skill = figures.get("brier_skill", "-")
    return f"Brier {figures['brier']}, skill {skill}, AUC {figures.get('auc', '-')}, right side {float(figures['hit_rate']):.1%}; {counted}"
