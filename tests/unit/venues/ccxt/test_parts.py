"""The parts of the second venue that need no network: settings, numbers, failures, the guard at the signature, records."""

from __future__ import annotations

import asyncio
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import ccxt
import pytest

from kedge.domain.errors import AccessRefused, InvalidConfig, InvalidInput, VenueUnavailable
from kedge.domain.units import E8
from kedge.domain.venue import NO_PERMIT, Refused, Taken, Unanswered
from kedge.venues.ccxt.client import CcxtClient
from kedge.venues.ccxt.failures import NOT_SENT, answer_to, code_of, error_of, is_access
from kedge.venues.ccxt.instruments import COLLAR_DEFAULT_BPS, MarketFacts, check_market, instrument_from
from kedge.venues.ccxt.numbers import UnreadableAnswer, decimal_of, e8_of, ns_of, optional_e8, optional_steps, steps_of, steps_text
from kedge.venues.ccxt.settings import CcxtSettings, Keys, Mode, is_on_this_machine

HERE = "http://127.0.0.1:1"


def settings(**given: Any) -> CcxtSettings:
    return CcxtSettings(**{"exchange": "bybit", "instruments": ("bybit-linear:BTCUSDT",), "paced": False, **given})


# Settings.


@pytest.mark.parametrize("url", ["http://localhost:8100", "http://127.0.0.1", "http://[::1]:9", "ws://127.8.9.1:1"])
def test_addresses_of_this_machine_are_taken(url: str) -> None:
    assert is_on_this_machine(url)
    assert settings(url=url, mode=Mode.PAPER).url == url


@pytest.mark.parametrize(
    "url",
    ["https://api.bybit.com", "http://127.0.0.1.evil.com", "ftp://127.0.0.1", "http://u@127.0.0.1", "http://127.0.0.1:0", "http://a:b"],
)
def test_any_other_address_is_refused(url: str) -> None:
    assert not is_on_this_machine(url)
    with pytest.raises(InvalidConfig, match="url is"):
        settings(url=url)


def test_paper_needs_this_machine_or_a_sandbox_and_times_are_positive() -> None:
    with pytest.raises(InvalidConfig, match="never to real money"):
        settings(mode=Mode.PAPER)
    with pytest.raises(InvalidConfig, match="not positive"):
        settings(poll_s=0)


def test_a_key_is_never_shown() -> None:
    assert "SECRET" not in repr(Keys(api_key="KEY", api_secret="SECRET"))


# The client.


def closed(client: CcxtClient) -> None:
    asyncio.run(client.close())


@pytest.mark.parametrize(("exchange", "why"), [("nope", "none of this name"), ("coinbaseinternational", "")])
def test_an_exchange_is_known_or_refused(exchange: str, why: str) -> None:
    if why:
        with pytest.raises(InvalidConfig, match=why):
            CcxtClient(settings(exchange=exchange), Keys())
        return
    client = CcxtClient(settings(exchange=exchange), Keys())
    assert not client.has_keys
    closed(client)


def test_a_sandbox_that_is_not_declared_is_refused_and_a_declared_one_is_all_there_is() -> None:
    with pytest.raises(InvalidConfig, match="declares none"):
        CcxtClient(settings(exchange="bitvavo", sandbox=True, mode=Mode.PAPER), Keys())
    client = CcxtClient(settings(sandbox=True, mode=Mode.PAPER), Keys(api_key="K", api_secret="S"))
    assert "testnet" in client.exchange.sign("v5/market/time", "public", "GET", {})["url"]
    client.exchange.urls["api"]["public"] = "https://api.bybit.com"
    with pytest.raises(AccessRefused, match=r"api\.bybit\.com"):
        client.exchange.sign("v5/market/time", "public", "GET", {})
    closed(client)


def test_what_fails_before_it_is_signed_was_not_sent_and_a_permit_is_asked_at_the_signature() -> None:
    client = CcxtClient(settings(url=HERE, mode=Mode.PAPER, answer_within_s=0.5), Keys(api_key="K", api_secret="S"))
    exchange = client.exchange

    async def signs(text: str = "") -> Any:
        exchange.sign("v5/order/create", "private", "POST", {})
        if text:
            raise ccxt.AuthenticationError(text)
        await asyncio.sleep(5)

    async def fails() -> None:
        raise ccxt.NetworkError("no markets")

    async def refused_address() -> None:
        raise AccessRefused("a request elsewhere")

    async def test() -> None:
        exchange.fails, exchange.signs, exchange.refused = fails, signs, refused_address
        heard: list[tuple[str, str]] = []
        _, answer = await client.write("fails")
        assert isinstance(answer, Refused)
        assert answer.code == NOT_SENT
        _, answer = await client.write("signs", is_permitted=lambda: False)
        assert isinstance(answer, Refused)
        assert answer.code == NO_PERMIT
        _, answer = await client.write("signs", is_permitted=lambda: True)
        assert isinstance(answer, Unanswered)
        await client.write("signs", 'bybit {"retCode":10003}')
        client.on_access = lambda code, what: heard.append((code, what))
        _, answer = await client.write("signs", 'bybit {"retCode":10003}')
        assert isinstance(answer, Refused)
        assert [code for code, _ in heard] == ["10003"]
        with pytest.raises(AccessRefused, match="elsewhere"):
            await client.write("refused")
        with pytest.raises(VenueUnavailable, match="no answer within"):
            await client.read("signs")
        exchange.fails = _shapeless
        with pytest.raises(VenueUnavailable, match="KeyError"):
            await client.read("fails")
        exchange.fails = refused_address
        with pytest.raises(AccessRefused):
            await client.read("fails")
        await client.close()

    asyncio.run(test())


async def _shapeless() -> None:
    raise KeyError("list")


# What errors mean.


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ccxt.RequestTimeout("slow"), Unanswered),
        (ccxt.ExchangeNotAvailable("503"), Unanswered),
        (ccxt.OnMaintenance("back soon"), Unanswered),
        (ccxt.RateLimitExceeded("10006"), Unanswered),
        (ccxt.DDoSProtection("403"), Unanswered),
        (ccxt.InvalidNonce("clock"), Unanswered),
        (ccxt.ExchangeError("10016"), Unanswered),
        (TimeoutError(), Unanswered),
        (KeyError("id"), Unanswered),
        (ccxt.InvalidOrder("no"), Refused),
        (ccxt.OrderNotFound("gone"), Refused),
        (ccxt.InsufficientFunds("poor"), Refused),
        (ccxt.BadSymbol("what"), Refused),
        (ccxt.PermissionDenied("key"), Refused),
        (ccxt.InvalidOrder('bybit {"retCode":110072,"retMsg":"repeated"}'), Taken),
    ],
)
def test_a_failed_write_is_refused_only_where_the_exchange_said_no(error: Exception, expected: type) -> None:
    assert isinstance(answer_to(error, was_signed=True, taken_codes=frozenset({"110072"})), expected)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ccxt.AuthenticationError("key"), AccessRefused),
        (ccxt.BadSymbol("x"), InvalidInput),
        (ccxt.RateLimitExceeded("x"), VenueUnavailable),
        (ccxt.OnMaintenance("x"), VenueUnavailable),
        (ccxt.NetworkError("x"), VenueUnavailable),
    ],
)
def test_a_failed_read_raises_what_is_to_be_done(error: Exception, expected: type) -> None:
    found = error_of(error)
    assert type(found) is expected
    assert found.why
    assert found.fix
    assert is_access(error) is (expected is AccessRefused)


def test_the_code_is_the_exchanges_own_where_it_has_one() -> None:
    assert code_of(ccxt.InvalidOrder('okx {"code":"1","data":[{"sCode":"51000"}]}')) == "1"
    assert code_of(ccxt.InvalidOrder("no code")) == "InvalidOrder"


# Numbers.


def test_numbers_are_read_exactly_and_floats_are_refused() -> None:
    assert e8_of("0.123456785", "x") == 12_345_678
    assert e8_of("0.123456795", "x") == 12_345_680
    assert (optional_e8("", "x"), optional_steps(None, 5, "x")) == (None, 0)
    assert steps_of("5.5", E8 // 1_000, "x", scale=Decimal("0.01")) == 55
    assert steps_text(55, E8 // 1_000, scale=Decimal("0.01")) == "5.5"
    assert ns_of("17", "x") == 17_000_000
    for value in (1.5, True, None, "nan", "abc", "1e30"):
        with pytest.raises(UnreadableAnswer):
            e8_of(value, "x")
    for value in (1.0, "-1", "", "1.5", None):
        with pytest.raises(UnreadableAnswer):
            ns_of(value, "x")
    with pytest.raises(UnreadableAnswer, match="not a multiple of 0.1"):
        steps_of("0.15", E8 // 10, "x")
    with pytest.raises(UnreadableAnswer, match="past 2"):
        steps_of("1e15", 1, "x")
    with pytest.raises(UnreadableAnswer):
        decimal_of("inf", "x")


@pytest.mark.parametrize("rounding", [ROUND_HALF_UP, ROUND_DOWN])
def test_numbers_are_rounded_alike_whatever_a_library_set_for_the_thread(rounding: str) -> None:
    with localcontext() as theirs:  # ccxt's own helpers leave another rounding behind in the thread's context
        theirs.rounding = rounding
        assert e8_of("0.123456785", "x") == 12_345_678
        assert e8_of("0.123456775", "x") == 12_345_678


# Records.


def market(**given: Any) -> dict[str, Any]:
    return {
        "id": "BTCUSDT", "base": "BTC", "quote": "USDT", "settle": "USDT", "swap": True, "linear": True, "active": True, "type": "swap",
        "contractSize": "1", "precision": {"price": "0.1", "amount": "0.001"},
        "limits": {"price": {"max": None}, "amount": {"min": "0.0015", "max": None}, "cost": {"min": "5"}}, **given,
    }  # fmt: skip


FACTS = MarketFacts(price_now="60000", maker="0.0002", taker="0.00055", funding_interval_ns=0)


def test_unknown_limits_become_what_the_arithmetic_can_prove() -> None:
    record = instrument_from("bybit", 4, market(), FACTS)
    assert (record.order_qty_min_lots, record.notional_min_e8, record.price_collar_bps) == (2, 5 * E8, COLLAR_DEFAULT_BPS)
    assert record.market_qty_max_lots == record.order_qty_max_lots >= 1
    places = instrument_from("bybit", 2, market(contractSize=None, precision={"price": "1", "amount": "3"}), FACTS)
    assert (places.tick_e8, places.lot_e8) == (record.tick_e8, record.lot_e8)


def test_a_record_that_makes_no_grid_is_refused() -> None:
    for mode, changes in (
        (3, {}),
        (4, {"precision": {"price": "0", "amount": "1"}}),
        (4, {"precision": {"price": "0.000000001", "amount": "1"}}),
        (4, {"contractSize": "0"}),
    ):
        with pytest.raises(UnreadableAnswer):
            instrument_from("bybit", mode, market(**changes), FACTS)
    with pytest.raises(UnreadableAnswer, match="positive"):
        instrument_from("bybit", 4, market(), FACTS._replace(price_now="0"))
    tier = {"maxNotional": "1000", "maintenanceMarginRate": "0.01", "maxLeverage": "50"}
    with pytest.raises(UnreadableAnswer, match="asks for less"):
        instrument_from(
            "bybit", 4, market(), FACTS._replace(tiers=[tier, {**tier, "maxNotional": "2000", "maintenanceMarginRate": "0.005"}])
        )


@pytest.mark.parametrize("changes", [{"swap": False}, {"linear": False}, {"settle": "USDC"}, {"active": False}])
def test_only_linear_perpetuals_that_trade_are_taken(changes: dict[str, Any]) -> None:
    check_market(market(), "USDT")
    with pytest.raises(InvalidInput, match="only linear perpetuals"):
        check_market(market(**changes), "USDT")
