"""Risk over HTTP: measures, methods and stress of the followed run, and limits that one person may only tighten."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.api.people_world import Browser, World, in_world
from tests.unit.services.lineage_world import model_run, stocked

from kedge.domain.errors import Conflict
from kedge.risk.brake.triggers import TriggerLimits
from kedge.risk.limits import Limits
from kedge.services.limits_store import LimitsStore
from kedge.services.limits_views import account_of, limits_view, store_of

LIMITS = "/api/v1/risk/limits"


async def read(browser: Browser) -> None:
    """Wait until the server has read the run."""
    while (await browser.get("/api/v1/overview"))["following"]["state"] != "ended":
        await asyncio.sleep(0.05)


def begun(state: Path, account: str = "acct") -> LimitsStore:
    """The first document of an account, as its trader makes it."""
    store = LimitsStore(state, account, wall_ns=time.time_ns)
    store.begin(Limits(), TriggerLimits(), "trader")
    return store


def test_every_document_of_risk_is_told_of_a_run(tmp_path: Path) -> None:
    model_run(tmp_path, stocked(tmp_path), bars=40)

    async def then(world: World) -> None:
        ada = await world.first()
        await read(ada)
        status = await ada.get("/api/v1/risk/status")
        assert len(status["measures"]) == 11
        assert status["guard"]["state"] == "absent"
        assert all(one["stale"] for one in status["measures"] if one["value"] is not None), "the run has ended"
        found = await ada.get("/api/v1/risk/var")
        assert found["run_id"] == status["run_id"]
        assert sum(one["chosen"] for one in found["methods"]) == 1
        stress = await ada.get("/api/v1/risk/stress")
        assert Decimal(stress["scenarios"][0]["loss_frac"]) > 0
        assert (await world.ask("GET", "/api/v1/risk/status")).status == 401

    in_world(tmp_path, then)


def test_without_a_run_the_status_is_empty_and_the_rest_says_why(tmp_path: Path) -> None:
    async def then(world: World) -> None:
        ada = await world.first()
        status = await ada.get("/api/v1/risk/status")
        assert (status["run_id"], status["measures"]) == (None, [])
        for what in ("var", "stress"):
            assert (await ada.ask("GET", f"/api/v1/risk/{what}")).status == 503
        limits = await ada.get(LIMITS)
        assert (limits["limits"], limits["account"]) == ([], None)
        assert "nobody says what holds" in limits["why"]

    in_world(tmp_path, then)


def test_one_person_tightens_at_once_and_the_document_names_them(tmp_path: Path) -> None:
    begun(tmp_path)

    async def then(world: World) -> None:
        ada = await world.first()
        before = await ada.get(LIMITS)
        assert (before["current"]["number"], before["account"]) == (1, "acct")
        body = {"changes": {"drawdown_soft_frac": "0.04"}, "reason": "a rough week", "base_version": before["current"]["version"]}
        made = await ada.make(LIMITS, body, **{"Idempotency-Key": "k"})
        assert (made.status, made.body["number"], made.body["changes"]) == (201, 2, {"drawdown_soft_frac": "0.05 -> 0.04"})
        again = await ada.make(LIMITS, body, **{"Idempotency-Key": "k"})
        assert (again.status, again.body) == (201, made.body)
        after = await ada.get(LIMITS)
        me = (await ada.get("/api/v1/me"))["person_id"]
        assert (after["current"]["number"], after["current"]["actor"], after["current"]["reason"]) == (2, me, "a rough week")
        assert [one["number"] for one in after["history"]] == [2, 1]
        assert next(row["value"] for row in after["limits"] if row["name"] == "drawdown_soft_frac") == "0.04"
        (act,) = [one for one in (await ada.get("/api/v1/acts"))["items"] if one["action"] == "limits-tighten"]
        assert (act["subject"], act["details"]["drawdown_soft_frac"]) == (made.body["version"], "0.05 -> 0.04")
        stale = await ada.make(LIMITS, {**body, "changes": {"drawdown_soft_frac": "0.03"}})
        assert (stale.status, stale.body["code"]) == (409, "CONFLICT")

    in_world(tmp_path, then)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"drawdown_soft_frac": "0.06"}, 403, "kedge approval request limit-loosen"),
        ({"drawdown_soft_frac": "0.04", "orders_per_second_max": "9"}, 403, "takes two people"),
        ({"drawdown": "0.04"}, 422, "did you mean"),
        ({"drawdown_soft_frac": "0.05"}, 422, "nothing changes"),
        ({"drawdown_soft_frac": "four"}, 422, "not a decimal number"),
        ({"drawdown_soft_frac": "0.04", "drawdown_reduce_frac": "0.03"}, 422, "rise"),
        ({}, 422, "changes"),
        ({"drawdown_soft_frac": "<b>"}, 422, "changes"),
    ],
)
def test_what_loosens_or_is_none_is_refused_with_what_to_do(tmp_path: Path, changes: dict[str, str], status: int, words: str) -> None:
    store = begun(tmp_path)

    async def then(world: World) -> None:
        ada = await world.first()
        answer = await ada.make(LIMITS, {"changes": changes, "reason": "because"})
        assert answer.status == status, answer.text
        assert words in answer.text
        assert store.newest_number() == 1

    in_world(tmp_path, then)


def test_only_a_trader_or_risk_tightens_and_never_without_a_key_or_a_reason(tmp_path: Path) -> None:
    store = begun(tmp_path)
    body = {"changes": {"drawdown_soft_frac": "0.04"}, "reason": "because"}

    async def then(world: World) -> None:
        ada = await world.first()
        eve = await world.invited(ada, "eve", "researcher")
        assert (await eve.make(LIMITS, body)).body["code"] == "FORBIDDEN"
        assert (await ada.post(LIMITS, body)).body["code"] == "KEY_MISSING"
        assert (await ada.make(LIMITS, {**body, "reason": "  "})).status == 422
        reads, writes = await world.token(ada, "read"), await world.token(ada, "risk:write")
        for token, expected in ((reads, 403), (writes, 201)):
            answer = await world.ask(
                "POST", LIMITS, body, **{"Authorization": f"Bearer {token}", "Idempotency-Key": expected and str(expected)}
            )
            assert answer.status == expected, answer.text
        assert store.newest_number() == 2

    in_world(tmp_path, then)


def test_whose_limits_are_meant_is_never_guessed(tmp_path: Path) -> None:
    assert account_of(tmp_path, None) is None
    with pytest.raises(Conflict, match="no account has limits"):
        store_of(tmp_path, None)
    begun(tmp_path, "one")
    assert account_of(tmp_path, None) == "one"
    begun(tmp_path, "two")
    assert (account_of(tmp_path, None), account_of(tmp_path, "one")) == (None, "one")


def test_what_the_trader_has_not_taken_yet_is_said(tmp_path: Path) -> None:
    running = Limits()
    shown: dict[str, Any] = limits_view(tmp_path, "acct", running)
    assert (shown["current"], len(shown["limits"])) == (None, len(limits_view(tmp_path, None, running)["limits"]))
    assert "only the configuration holds" in shown["why"]
    store = begun(tmp_path)
    assert limits_view(tmp_path, "acct", running)["why"] == ""
    store.tighten({"restricted": "DOGE"}, actor="p", reason="r")
    shown = limits_view(tmp_path, "acct", running)
    assert "the trader still goes by" in shown["why"]
    row = next(one for one in shown["limits"] if one["name"] == "restricted")
    assert (row["value"], row["tightens"], row["minimum"]) == ("DOGE", "more", None)
    assert {one["tightens"] for one in shown["limits"]} == {"down", "up", "more"}
    assert shown["history"][0]["changes"] == {"restricted": "none -> DOGE"}
