"""`kedge trade --venue ccxt:EXCHANGE`: the same trader through the second client, on paper at the exchange of this machine."""

from __future__ import annotations

from typing import Final

from kedge.apps.trade_plan import Options
from kedge.domain.errors import InvalidConfig
from kedge.learning.features import FeatureSet
from kedge.ops.paper_keys import PaperKey
from kedge.venues.ccxt.dialect import dialect_of
from kedge.venues.ccxt.settings import CcxtSettings, Keys, Mode
from kedge.venues.ccxt.venue import CcxtVenue

PREFIX: Final = "ccxt:"


def split_venue(given: str | None) -> tuple[str, str | None]:
    """What `--venue` names: ccxt's exchange (empty for our own client), and the address, None where none is given.

    Raises
    ------
    InvalidConfig
        ccxt's exchange is not named, or nobody taught the client its orders.
    """
    if given is None or not given.startswith(PREFIX):
        return "", given
    exchange, _, url = given.removeprefix(PREFIX).partition("@")
    if dialect_of(exchange) is None:
        raise InvalidConfig(
            f"--venue is {given!r}",
            why="through ccxt a trader runs on paper alone, and only where its orders and accounts are known to the last unit",
            fix="such as --venue ccxt:bybit, or --venue ccxt:bybit@http://127.0.0.1:8100",
        )
    return exchange, url or None


def second_venue(options: Options, key: PaperKey) -> CcxtVenue:
    """A fresh client, on paper."""
    settings = CcxtSettings(
        exchange=options.through,
        instruments=options.instruments,
        mode=Mode.PAPER,
        url=options.venue,
        interval_ns=options.interval_ns,
        funding=options.loaded is not None and FeatureSet(options.loaded.features).uses_funding,
    )
    return CcxtVenue(settings, Keys(api_key=key.api_key, api_secret=key.api_secret))
