"""`--venue ccxt:EXCHANGE` of `kedge trade`: which client it makes, and what it refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kedge.apps.second_venue import second_venue, split_venue
from kedge.apps.trade_market import Market
from kedge.apps.trade_plan import Options, run_settings
from kedge.domain.errors import InvalidConfig
from kedge.ops.config import load_config
from kedge.ops.paper_keys import PaperKey
from kedge.venues.ccxt.settings import Mode

URL = "http://127.0.0.1:8100"
PAPER = PaperKey(name="trader", api_key="KEY", api_secret="SECRET", account="777001")
OPTIONS = Options(URL, "paper", ("BTCUSDT",), "trend", {}, "1m", "leave")


def test_the_client_and_the_address_are_told_apart() -> None:
    assert split_venue(None) == ("", None)
    assert split_venue(URL) == ("", URL)
    assert split_venue("ccxt:bybit") == ("bybit", None)
    assert split_venue(f"ccxt:bybit@{URL}") == ("bybit", URL)


@pytest.mark.parametrize("given", ["ccxt:", "ccxt:okx", f"ccxt:nope@{URL}"])
def test_an_exchange_whose_orders_nobody_taught_is_refused(given: str) -> None:
    with pytest.raises(InvalidConfig, match="ccxt"):
        split_venue(given)


def test_it_is_on_paper_at_the_given_address_and_another_run_than_with_our_own_client() -> None:
    options = OPTIONS._replace(through="bybit")
    venue = second_venue(options, PAPER)
    assert (venue.settings.mode, venue.settings.url, venue.settings.interval_ns) == (Mode.PAPER, URL, options.interval_ns)
    assert venue.client.exchange.apiKey == PAPER.api_key
    asyncio.run(venue.close())
    config, market = load_config(None), Market(1, True, "synthetic", "s", 0)
    ours: dict[str, Any] = run_settings(config, OPTIONS, market)
    assert run_settings(config, options, market) == {**ours, "through": "ccxt:bybit"}
