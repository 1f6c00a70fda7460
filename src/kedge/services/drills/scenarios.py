"""The product's stress scenarios as crashes that a drill can play: tables of dated moves, with a made up past.

Rules: the moves are the table's, whoever it took them from; the price they start at and the daily closes of before are made up, seeded and
said. A scenario of daily bars plays days, one of hourly bars hours.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.errors import InvalidInput
from kedge.domain.units import E8, NS_PER_S
from kedge.risk.stress import SCENARIOS
from kedge.risk.stress.scenario import HISTORY, Scenario
from kedge.risk.stress.types import Move
from kedge.services.drills.crash import SYNTHETIC_DAYS, Bar, Crash, deepest, rebased, synthetic_closes

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
START_E8: Final = {"BTCUSDT": 50_000 * E8, "ETHUSDT": 2_500 * E8}
BARS: Final = 3
_QUOTE: Final = "USDT"
_BPS: Final = 10_000


def crash_of(name: str, *, symbols: tuple[str, ...] = SYMBOLS, bars: int = BARS, seed: int = 1) -> Crash:
    """The deepest fall of a named scenario.

    Parameters
    ----------
    bars : int
        How many of its bars are played: those in a row in which the first symbol falls furthest.

    Raises
    ------
    InvalidInput
        No such scenario, or it has fewer bars.
    """
    scenario = SCENARIOS.get(name)
    if scenario is None:
        raise InvalidInput(f"scenario {name!r}", why=f"known are {', '.join(SCENARIOS)}", fix="name one of these")
    paths = {symbol: scenario.path(symbol.removesuffix(_QUOTE)) for symbol in symbols}
    shared = sorted(set.intersection(*({move.minutes for move in path} for path in paths.values())))
    rows = {symbol: [_bar(move) for move in path if move.minutes in set(shared)] for symbol, path in paths.items()}
    at = deepest(rows[symbols[0]], bars)
    before = {symbol: found[at - 1].close if at else found[0].open for symbol, found in rows.items()}
    return Crash(
        name=name,
        title=scenario.title,
        source=_source(scenario, symbols),
        bar_minutes=scenario.bar_minutes,
        start_ts_ns=scenario.start_ns + shared[at] * 60 * NS_PER_S,
        bars={symbol: rebased(found[at : at + bars], before[symbol]) for symbol, found in rows.items()},
        price_e8={symbol: int(START_E8[symbol] * before[symbol]) for symbol in symbols},
        closes_e8={symbol: synthetic_closes(START_E8[symbol], seed + number) for number, symbol in enumerate(symbols)},
        words=(
            f"the {bars} bars in a row with the deepest fall of {symbols[0]}, from a table of relative moves",
            f"the past is made up: {SYNTHETIC_DAYS} seeded daily closes, Student t with 4 degrees of freedom, 3 % a day",
        ),
    )


def _bar(move: Move) -> Bar:
    return Bar(*(1 + price / _BPS for price in (move.open_bps, move.high_bps, move.low_bps, move.close_bps)))


def _source(scenario: Scenario, symbols: tuple[str, ...]) -> str:
    told = []
    for symbol in symbols:
        asset = symbol.removesuffix(_QUOTE)
        origin = scenario.origin(asset)
        owner = asset if origin == HISTORY else scenario.factor
        source = scenario.sources[owner]
        told.append(f"{asset} by {origin}{'' if origin == HISTORY else ' to ' + scenario.factor}: {source.words} ({source.sha256[:12]})")
    return "; ".join(told)
