"""What a key and its account must be before anything trades."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.venues.bybit import wire_examples as wire

from kedge.domain.errors import AccessRefused
from kedge.venues.bybit.codec import AccountInfo, KeyInfo, PositionData, decode
from kedge.venues.bybit.credentials import Rung
from kedge.venues.bybit.key_checks import KeyFinding, check_account, check_key, refuse_if_needed

NOW_NS = 1_767_000_000_000_000_000
"""2025-12-29T09:20:00Z."""


def key(**changes: Any) -> KeyInfo:
    return decode(json.dumps(wire.KEY_INFO | changes).encode(), KeyInfo, "query-api")


def account(**changes: Any) -> AccountInfo:
    return decode(json.dumps(wire.ACCOUNT | changes).encode(), AccountInfo, "account/info")


def position(index: int, symbol: str = "BTCUSDT") -> PositionData:
    return decode(json.dumps(wire.POSITION | {"positionIdx": index, "symbol": symbol}).encode(), PositionData, "position/list")


def found(rung: Rung = Rung.LIVE, *, trades: bool = True, **changes: Any) -> list[KeyFinding]:
    return check_key(key(**changes), rung, NOW_NS, trades=trades)


def test_a_trading_key_bound_to_an_address_has_no_findings() -> None:
    assert found() == []


@pytest.mark.parametrize("trades", [True, False])
def test_a_key_that_may_withdraw_is_refused_even_for_watching(trades: bool) -> None:
    findings = found(trades=trades, permissions=wire.KEY_INFO["permissions"] | {"Wallet": ["Withdraw"]})
    assert [(f.refuses, f.what) for f in findings] == [(True, "the key may withdraw")]
    with pytest.raises(AccessRefused, match="make a key without Withdraw"):
        refuse_if_needed(findings)


def test_a_key_that_may_move_money_between_own_accounts_is_a_warning() -> None:
    findings = found(permissions=wire.KEY_INFO["permissions"] | {"Wallet": ["AccountTransfer", "SubMemberTransfer"]})
    assert [(f.refuses, f.what) for f in findings] == [(False, "the key may move money (AccountTransfer, SubMemberTransfer)")]
    assert refuse_if_needed(findings) == findings


def test_a_read_only_key_may_watch_but_not_trade() -> None:
    assert found(readOnly=1)[0].refuses
    assert found(readOnly=1, trades=False) == []


def test_a_key_without_contract_permissions_is_refused_by_what_it_lacks() -> None:
    findings = found(permissions={"ContractTrade": ["Order"]})
    assert [(f.refuses, f.what) for f in findings] == [(True, "the key lacks Contract - Position")]
    assert found(permissions={"Derivatives": ["DerivativesTrade"]}) == []


@pytest.mark.parametrize("ips", [[], ["*"]])
def test_a_key_for_any_address_is_a_warning_except_on_paper(ips: list[str]) -> None:
    assert [f.refuses for f in found(ips=ips)] == [False]
    assert found(Rung.PAPER, ips=ips) == []


@pytest.mark.parametrize(
    ("changes", "refuses", "words"),
    [
        ({"deadlineDay": 9}, False, "expires in 9 days"),
        ({"deadlineDay": 0}, False, "expires in 0 days"),
        ({"expiredAt": "2026-01-05T00:00:00Z"}, False, "expires at 2026-01-05"),
        ({"expiredAt": "2025-12-01T00:00:00Z"}, True, "expired at 2025-12-01"),
    ],
)
def test_an_expiry_is_seen_in_time(changes: dict[str, Any], refuses: bool, words: str) -> None:
    (finding,) = found(**changes)
    assert finding.refuses is refuses
    assert words in finding.what


@pytest.mark.parametrize("changes", [{"deadlineDay": 60}, {"expiredAt": "2027-01-05T00:00:00Z"}, {"expiredAt": ""}, {"expiredAt": "soon"}])
def test_an_expiry_far_away_or_absent_says_nothing(changes: dict[str, Any]) -> None:
    assert found(**changes) == []


@pytest.mark.parametrize("status", [3, 4, 5, 6])
@pytest.mark.parametrize("mode", ["REGULAR_MARGIN", "ISOLATED_MARGIN"])
def test_a_unified_one_way_account_passes(status: int, mode: str) -> None:
    assert check_account(account(unifiedMarginStatus=status, marginMode=mode), [position(0)]) == []


def test_every_fault_of_an_account_is_named_at_once() -> None:
    findings = check_account(
        account(unifiedMarginStatus=1, marginMode="PORTFOLIO_MARGIN"), [position(1), position(2), position(1, "ETHUSDT")]
    )
    with pytest.raises(AccessRefused) as caught:
        refuse_if_needed(findings)
    for words in ("not a unified", "PORTFOLIO_MARGIN", "BTCUSDT, ETHUSDT in hedge mode", "switch to one-way"):
        assert words in str(caught.value)
