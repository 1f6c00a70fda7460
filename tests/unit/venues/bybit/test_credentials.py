"""Keys in tiers: each rung finds its own and no other."""

from __future__ import annotations

import pytest

from kedge.domain.errors import AccessRefused
from kedge.venues.bybit.credentials import Rung, load_credentials

LIVE = {"BYBIT_LIVE_API_KEY": "live-key", "BYBIT_LIVE_API_SECRET": "live-secret-value"}
TESTNET = {"BYBIT_TESTNET_API_KEY": "test-key", "BYBIT_TESTNET_API_SECRET": "test-secret-value"}
GENERIC = {"BYBIT_API_KEY": "generic-key", "BYBIT_API_SECRET": "generic-secret-value"}


@pytest.mark.parametrize(("rung", "key"), [(Rung.LIVE, "live-key"), (Rung.TESTNET, "test-key")])
def test_a_rung_loads_its_own_key_where_all_are_set(rung: Rung, key: str) -> None:
    found = load_credentials(rung, LIVE | TESTNET | GENERIC)
    assert (found.rung, found.api_key, found.secret) == (rung, key, f"{key.removesuffix('-key')}-secret-value")


def test_the_generic_key_serves_testnet_only() -> None:
    assert load_credentials(Rung.TESTNET, GENERIC).api_key == "generic-key"
    with pytest.raises(AccessRefused, match="BYBIT_API_KEY is never used for live"):
        load_credentials(Rung.LIVE, GENERIC)


def test_half_a_testnet_pair_is_not_completed_from_the_generic_names() -> None:
    with pytest.raises(AccessRefused, match="BYBIT_TESTNET_API_SECRET not set"):
        load_credentials(Rung.TESTNET, GENERIC | {"BYBIT_TESTNET_API_KEY": "test-key"})


@pytest.mark.parametrize("environment", [{}, TESTNET, {"BYBIT_LIVE_API_KEY": "  ", "BYBIT_LIVE_API_SECRET": ""}])
def test_a_missing_live_key_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(AccessRefused, match="BYBIT_LIVE_API_KEY and BYBIT_LIVE_API_SECRET not set"):
        load_credentials(Rung.LIVE, environment)


@pytest.mark.parametrize("rung", [Rung.LIVE, Rung.TESTNET])
def test_one_key_for_both_rungs_is_refused_without_being_repeated(rung: Rung) -> None:
    environment = LIVE | TESTNET | {"BYBIT_TESTNET_API_KEY": "live-key"}
    with pytest.raises(AccessRefused, match="hold the same key") as caught:
        load_credentials(rung, environment)
    assert "live-key" not in str(caught.value)
    assert "secret-value" not in str(caught.value)


def test_paper_uses_what_the_exchange_gave_out_and_never_the_environment() -> None:
    found = load_credentials(Rung.PAPER, LIVE | TESTNET | GENERIC, {"api_key": "paper-key", "api_secret": "paper-secret"})
    assert (found.api_key, found.secret) == ("paper-key", "paper-secret")
    with pytest.raises(AccessRefused, match="start the exchange first"):
        load_credentials(Rung.PAPER, LIVE | TESTNET | GENERIC)
    with pytest.raises(AccessRefused, match="no paper key"):
        load_credentials(Rung.PAPER, {}, {"api_key": "paper-key"})
