"""From configuration to the engine's own parameter objects: the one place where both are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from kedge.domain.errors import InvalidConfig, InvalidInput, NotFound
from kedge.domain.instrument import Instrument
from kedge.domain.orders import OrderKind
from kedge.domain.units import money_e8, money_text
from kedge.engine.engine import WALLET_PROVED_MAX_E8
from kedge.engine.settings import EngineSettings
from kedge.journal.redaction import Redactor
from kedge.market.catalogue import CATALOGUE
from kedge.market.catalogue_record import load_instrument_record
from kedge.ops.config import Config
from kedge.ops.settings import to_e8
from kedge.risk.brake.triggers import TriggerLimits
from kedge.risk.limits import Limits
from kedge.risk.limits_table import check_limits
from kedge.risk.sizing_policy import SizingPolicy
from kedge.services.backtest import plain_params
from kedge.simulation.bar_matcher import BarCosts
from kedge.simulation.exchange import VenueSettings
from kedge.strategy.execution import DUST_DIVISOR, ExecutionPolicy, Style
from kedge.strategy.model import MODEL, read_model_params
from kedge.strategy.registry import make_strategy

RULE_BY_DEFAULT: Final = "trend"
TWAP_BARS: Final = 10
"""Bars over which TWAP slices where the configuration names no span."""


def strategy_name(config: Config, given: str | None = None) -> str:
    """The strategy that a command runs: the one given, else the configured one, else a rule."""
    return given or config.settings.strategy.name or RULE_BY_DEFAULT


def strategy_params(config: Config, name: str, given: list[str] | None) -> dict[str, Any]:
    """Parameters from the configuration (of the same strategy), overlaid by `NAME=VALUE` texts."""
    chosen = config.settings.strategy
    params: dict[str, Any] = dict(chosen.params) if strategy_name(config) == name else {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidInput(f"--param {text!r}", why="must be NAME=VALUE", fix="such as --param fast=20")
        params[key.strip()] = value.strip()
    return plain_params(params)


def engine_settings(
    config: Config,
    *,
    strategy: str,
    params: dict[str, Any],
    entry: OrderKind,
    interval_ns: int,
    start_ts_ns: int,
    wallet_e8: int,
    style: Style | None = None,
    limits: Limits | None = None,
) -> EngineSettings:
    """Settings of an engine whose run is not named yet. A `style` goes before the configured one, `limits` before the configured ones."""
    limits = configured_limits(config) if limits is None else limits
    slice_e8 = min(limits.order_notional_frac_soft_e8, limits.order_notional_frac_max_e8 * DUST_DIVISOR // (DUST_DIVISOR + 1))
    return EngineSettings(
        run_id="",
        account=config.settings.account,
        strategy=strategy,
        params=params,
        wallet_e8=wallet_e8,
        start_ts_ns=start_ts_ns,
        interval_ns=interval_ns,
        limits=limits,
        confidence_min_e8=to_e8(config.settings.strategy.confidence_min),
        execution=execution_policy(config, entry, interval_ns, slice_e8, style),
        sizing=configured_sizing(config),
    )


def configured_sizing(config: Config) -> SizingPolicy | None:
    """The caps on sizes that the configuration asks for, made for its stop; None where they are switched off."""
    sizing, stop_frac_e8 = config.settings.sizing, to_e8(config.settings.stops.distance_frac)
    if not sizing.active:
        return None
    if not stop_frac_e8:
        raise InvalidConfig(
            "stops.distance_frac is 0",
            why="sizes are cut to what is lost at the stop, and without one no size follows",
            fix="set stops.distance_frac, such as 0.10, or for play money sizing.active: false",
        )
    return SizingPolicy(**sizing.engine_values(), stop_frac_e8=stop_frac_e8)


def configured_limits(config: Config) -> Limits:
    """The limits that the configuration asks for."""
    return Limits.from_plain(config.settings.limits.engine_values())


def guard_triggers(config: Config) -> TriggerLimits:
    """When the configured guard brakes by itself."""
    return msgspec.convert(config.settings.guard.triggers.engine_values(), TriggerLimits)


def check_guarded(config: Config, limits: Limits | None = None) -> None:
    """Refuse limits beside which the guard would act on what the trader may still do: every row rises up to its brake.

    `limits` are those in force where they are not the configured ones.
    """
    check_limits(configured_limits(config) if limits is None else limits, guard_triggers(config))


def execution_policy(config: Config, entry: OrderKind, interval_ns: int, slice_e8: int, style: Style | None) -> ExecutionPolicy:
    """The configured execution; spans that are left open are counted in bars."""
    values: dict[str, Any] = config.settings.execution.engine_values()
    spans = {"chase_life_ns": interval_ns, "twap_ns": TWAP_BARS * interval_ns}
    given = {name: spans.get(name) if value is None else value for name, value in values.items() if name != "style"}
    chosen = style if style is not None else values["style"]
    plain = {**given, "style": chosen, "entry": entry, "limit_life_ns": 2 * interval_ns, "slice_notional_frac_e8": slice_e8}
    return msgspec.convert(plain, ExecutionPolicy)


def wallet_e8(config: Config, wallet: str | None) -> int:
    """Starting money in 1e-8, from the command line or the configuration."""
    amount = money_e8(wallet, field="--wallet") if wallet is not None else to_e8(config.settings.wallet)
    if amount <= 0:
        raise InvalidInput(f"--wallet is {wallet}", why="trading needs money", fix="pass a positive amount")
    if amount > WALLET_PROVED_MAX_E8:
        largest = money_text(WALLET_PROVED_MAX_E8, places=0)
        raise InvalidInput(
            f"wallet is {money_text(amount, places=2)}", why=f"books are proved exact up to {largest}", fix=f"start with at most {largest}"
        )
    return amount


def checked_seed(seed: int) -> int:
    """A seed that every record can hold."""
    if not 0 <= seed < 2**63:
        raise InvalidInput(f"--seed is {seed}", why="a seed is a whole number from 0 to 2^63 - 1", fix="such as --seed 7")
    return seed


def venue_settings(config: Config, money_e8: int) -> VenueSettings:
    """How the simulated venue treats the account."""
    return VenueSettings(wallet_e8=money_e8, latency_ns=config.settings.costs.engine_values()["latency_ns"])


def bar_costs(config: Config) -> BarCosts:
    """What trading against a bar costs."""
    values = config.settings.costs.engine_values()
    return BarCosts(**{name: values[name] for name in ("half_spread_ticks", "impact_bps", "participation_e8")})


def with_fees(config: Config, instrument: Instrument) -> Instrument:
    """The instrument, with the configuration's fees where it overrides them."""
    values = config.settings.costs.engine_values()
    changed = {name: values[name] for name in ("maker_fee_e8", "taker_fee_e8") if name in values}
    return msgspec.structs.replace(instrument, **changed) if changed else instrument


def instrument_file(path: Path | None) -> Instrument | None:
    """The instrument record of `--instrument FILE` (JSON), or None."""
    if path is None:
        return None
    try:
        plain = json.loads(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        raise NotFound(f"instrument record {path}", why="nothing is there, or it is a folder", fix="see docs/instruments.md") from None
    except ValueError as error:
        raise InvalidInput(
            f"instrument record {path}: {error}", why="not JSON", fix="see docs/instruments.md for a complete record"
        ) from None
    if not isinstance(plain, dict):
        raise InvalidInput(f"instrument record {path}", why="must be one JSON object", fix="see docs/instruments.md for a complete record")
    return load_instrument_record(plain)


def redactor(config: Config) -> Redactor:
    """Keeps the configured secrets out of every record."""
    return Redactor(config.secret_values())


def check_use(config: Config) -> None:
    """Refuse settings that are well formed and that no run could use: strategy, its parameters, limits, demo instruments."""
    chosen, demo = config.settings.strategy, config.settings.demo
    params = plain_params(dict(chosen.params))
    if chosen.name == MODEL:
        _check_model_params(params)
    else:
        make_strategy(strategy_name(config), params)
    configured_limits(config)
    configured_sizing(config)
    known = {name.partition(":")[2] for name in CATALOGUE}
    for symbol in demo.instruments:
        if symbol not in known or demo.instruments.count(symbol) > 1:
            why = f"records ship for {', '.join(sorted(known))}, each once"
            raise InvalidConfig(f"demo.instruments holds {symbol!r}", why=why, fix="name each of these once")


def _check_model_params(params: dict[str, Any]) -> None:
    """The configured model may be a reference, or left to the command line; what it names is found when a run begins."""
    read_model_params({**params, MODEL: "0" * 64})
