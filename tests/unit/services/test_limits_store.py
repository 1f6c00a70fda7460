"""Limits as documents: numbered, never changed, tightened by one person, loosened by an approval, and refused where the guard would act."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kedge.domain.errors import Conflict, Forbidden, IntegrityError, InvalidConfig, InvalidInput, NotFound, RecordingFailed
from kedge.ops.settings import Limits as Configured
from kedge.risk.brake.triggers import TriggerLimits
from kedge.risk.limits import Limits
from kedge.risk.limits_document import OverrideGrant
from kedge.services import limits_store, whole_files
from kedge.services.limits_store import LimitsStore
from kedge.services.overrides import OverrideFiles
from kedge.services.rulings import AccountRulings

PRODUCT = Limits.from_plain(Configured().engine_values())
GUARD = TriggerLimits()


@pytest.fixture
def store(tmp_path: Path) -> LimitsStore:
    made = LimitsStore(tmp_path, "acct", wall_ns=lambda: 1_700)
    made.begin(PRODUCT, GUARD, "trader")
    return made


def replaced(**changes: Any) -> Limits:
    return msgspec.structs.replace(PRODUCT, **changes)


def test_the_first_document_is_what_is_configured(tmp_path: Path) -> None:
    store = LimitsStore(tmp_path, "acct", wall_ns=lambda: 1_700)
    assert (store.newest_number(), store.newest(), store.history()) == (0, None, [])
    first = store.begin(PRODUCT, GUARD, "trader")
    assert (first.number, first.version, first.supersedes, first.owner, first.actor) == (1, PRODUCT.version, "", "risk", "trader")
    assert (first.made_wall_ns, first.typed(), first.account) == (1_700, PRODUCT, "acct")
    assert store.begin(PRODUCT, GUARD, "trader") == first, "another start changes nothing"
    path = store.folder / "000001.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [name.name for name in store.folder.iterdir() if name.name.startswith(".")] == [], "no draft is left"
    event = first.event(5)
    assert (event.ts_ns, event.number, event.version, Limits.from_plain(event.limits)) == (5, 1, PRODUCT.version, PRODUCT)


def test_one_person_tightens_and_the_history_says_who_and_why(store: LimitsStore) -> None:
    base = PRODUCT.version
    second = store.tighten({"var99_max_frac": "0.033", "restricted": "DOGE"}, actor="p1", reason="thin books", base_version=base)
    assert second.typed() == replaced(var99_max_e8=3_300_000, restricted=("DOGE",))
    assert (second.supersedes, second.actor, second.approval_id) == (base, "p1", "")
    assert [one.number for one in store.history()] == [2, 1]
    with pytest.raises(Conflict, match="number 2"):
        store.tighten({"var99_max_frac": "0.032"}, actor="p1", reason="again", base_version=base)
    with pytest.raises(InvalidInput, match="nothing changes"):
        store.tighten({"var99_max_frac": "0.033"}, actor="p1", reason="again")
    for actor, reason in (("", "why"), ("p1", " "), ("p1", "x" * 501)):
        with pytest.raises(InvalidInput, match="who and why"):
            store.tighten({"var99_max_frac": "0.031"}, actor=actor, reason=reason)


def test_nobody_loosens_alone_not_even_beside_a_tightening(store: LimitsStore) -> None:
    for changes in ({"var99_max_frac": "0.036"}, {"var99_max_frac": "0.036", "es975_max_frac": "0.035"}, {"decisions_max": "0"}):
        with pytest.raises(Forbidden) as caught:
            store.tighten(changes, actor="p1", reason="more room")
        assert "loosening a limit takes two people" in str(caught.value)
        assert f"version {PRODUCT.version}" in str(caught.value)
    store.tighten({"restricted": "DOGE,XRP"}, actor="p1", reason="listed")
    with pytest.raises(Forbidden, match="restricted from DOGE, XRP to DOGE"):
        store.tighten({"restricted": "DOGE"}, actor="p1", reason="unlisted")
    with pytest.raises(Forbidden, match="restricted from DOGE, XRP to none"):
        store.tighten({"restricted": ""}, actor="p1", reason="unlisted")


def test_an_approved_loosening_is_carried_out_once(store: LimitsStore) -> None:
    given = {"base_version": PRODUCT.version, "actor": "p1", "approver": "p2", "approval_id": "a1", "reason": "calm"}
    changes = {"var99_max_frac": "0.038", "es975_max_frac": "0.039"}
    assert store.check_loosening(changes, PRODUCT.version) == replaced(var99_max_e8=3_800_000, es975_max_e8=3_900_000)
    second = store.loosen(changes, **given)
    assert (second.number, second.approver, second.approval_id, second.typed().var99_max_e8) == (2, "p2", "a1", 3_800_000)
    assert store.loosen(changes, **given) == second, "carried out before"
    with pytest.raises(Conflict, match="are not in force"):
        store.loosen(changes, **{**given, "approval_id": "a2"})
    assert store.newest_number() == 2


def test_what_the_guard_would_act_on_first_is_never_let_in(store: LimitsStore) -> None:
    with pytest.raises(InvalidConfig, match=r"\(var99\): hard 5.1 %, brake 5 %"):
        store.check_loosening({"var99_max_frac": "0.051"}, PRODUCT.version)
    with pytest.raises(InvalidConfig, match=r"\(gross_leverage\)"):
        store.loosen({"gross_leverage_max": "2"}, base_version="", actor="p1", approver="p2", approval_id="a1", reason="x")
    near = msgspec.structs.replace(GUARD, drawdown_halt_e8=6_500_000)
    with pytest.raises(InvalidConfig, match=r"\(drawdown\)"):
        store.begin(PRODUCT, near, "trader")
    wide = msgspec.structs.replace(GUARD, var99_flatten_e8=8_000_000)
    store.begin(PRODUCT, wide, "trader")
    assert store.check_loosening({"var99_max_frac": "0.051"}, PRODUCT.version).var99_max_e8 == 5_100_000
    store.begin(PRODUCT, None, "trader")
    assert store.check_loosening({"gross_leverage_max": "9"}, PRODUCT.version).gross_leverage_max_e8 == 900_000_000, "no guard runs"


def test_a_configuration_that_is_tighter_gives_a_document_and_a_looser_one_is_refused(store: LimitsStore) -> None:
    store.tighten({"var99_max_frac": "0.032"}, actor="p1", reason="thin books")
    assert store.begin(PRODUCT, GUARD, "trader").number == 2, "what a person tightened stays, whatever is configured"
    tighter = replaced(open_orders_total_max=80)
    third = store.begin(tighter, GUARD, "trader")
    assert (third.number, third.typed()) == (3, replaced(open_orders_total_max=80, var99_max_e8=3_200_000))
    assert "the configuration is tighter now" in third.reason
    assert store.begin(tighter, GUARD, "trader") == third
    with pytest.raises(Forbidden, match="the configuration was changed: open_orders_total_max from 80 to 90") as caught:
        store.begin(replaced(open_orders_total_max=90), GUARD, "trader")
    assert "kedge approval request limit-loosen for account acct" in str(caught.value)
    with pytest.raises(Forbidden, match="var99_max_frac from 0.032 to 0.034"):
        store.begin(msgspec.structs.replace(tighter, var99_max_e8=3_400_000), GUARD, "trader")


def test_a_document_that_was_changed_is_not_read(store: LimitsStore) -> None:
    store.tighten({"var99_max_frac": "0.033"}, actor="p1", reason="thin books")
    path = store.folder / "000002.json"
    whole = path.read_bytes()
    for broken, words in (
        (whole.replace(b'"var99_max_e8":3300000', b'"var99_max_e8":4900000'), "its content is"),
        (whole.replace(b'"account":"acct"', b'"account":"else"'), "it was moved here"),
        (whole[: len(whole) // 2], "cannot be read"),
        (whole.replace(PRODUCT.version.encode(), b"0" * 16), "it follows"),
        (whole.replace(b"kedge/limits/v1", b"kedge/limits/v9"), "its content is"),
    ):
        path.write_bytes(broken)
        with pytest.raises(IntegrityError, match=words):
            store.newest()
        with pytest.raises(IntegrityError):
            store.begin(PRODUCT, GUARD, "trader")
    path.unlink()
    os.link(store.folder / "000001.json", store.folder / "000003.json")
    with pytest.raises((NotFound, IntegrityError)):
        store.newest()
    with pytest.raises(NotFound, match="limits document 9"):
        store.get(9)


def test_two_changes_at_once_are_one_document_and_one_conflict(store: LimitsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    other = LimitsStore(store.folder.parents[1], "acct", wall_ns=lambda: 1_800)
    put = limits_store.put_new

    def slow(path: Path, body: bytes) -> None:
        monkeypatch.setattr(limits_store, "put_new", put)
        other.tighten({"var99_max_frac": "0.031"}, actor="p2", reason="faster")
        put(path, body)

    monkeypatch.setattr(limits_store, "put_new", slow)
    with pytest.raises(Conflict, match="somebody else was faster"):
        store.tighten({"var99_max_frac": "0.033"}, actor="p1", reason="slower")
    newest = store.newest()
    assert newest is not None
    assert (newest.number, newest.actor) == (2, "p2")


def test_a_folder_that_cannot_be_written_tells_so(store: LimitsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_files.os, "fsync", full)
    with pytest.raises(RecordingFailed, match="No space left"):
        store.tighten({"var99_max_frac": "0.033"}, actor="p1", reason="thin")
    with pytest.raises(RecordingFailed, match="No space left"):
        store.begin(PRODUCT, msgspec.structs.replace(GUARD, var99_flatten_e8=6_000_000), "trader")
    assert [name.name for name in store.folder.iterdir() if name.name.startswith(".")] == []
    with pytest.raises(RecordingFailed, match="cannot write"):
        OverrideFiles(store.folder.parents[1], "acct").put(GRANT)


def test_without_an_account_there_is_nothing_to_change(tmp_path: Path) -> None:
    store = LimitsStore(tmp_path, "acct", wall_ns=lambda: 1)
    with pytest.raises(Conflict, match="its trader has never started"):
        store.tighten({"var99_max_frac": "0.033"}, actor="p1", reason="thin")
    assert store._triggers() == TriggerLimits()  # type: ignore[attr-defined]


GRANT = OverrideGrant(
    approval_id="a1", account="acct", instrument="v:AAA", side="buy", qty="1.5", rules=("FAT_FINGER",), made_wall_ns=1,  # type: ignore[arg-type]
    expires_wall_ns=100, requester="p1", approver="p2", reason="a block",
)  # fmt: skip


def test_overrides_are_left_once_and_read_as_they_were(tmp_path: Path) -> None:
    files, rulings = OverrideFiles(tmp_path, "acct"), AccountRulings(tmp_path, "acct", wall_ns=lambda: 40)
    assert (files.names(), rulings.override("a1")) == ([], None)
    files.put(GRANT)
    files.put(msgspec.structs.replace(GRANT, reason="another"))
    assert (files.names(), rulings.override_names()) == (["a1"], ["a1"])
    found = rulings.override("a1")
    assert found is not None
    assert (found[0].reason, found[1]) == ("a block", 60)
    (files.folder / "a2.json").write_text("{}")
    (files.folder / "a3.json").write_text(json.dumps(msgspec.to_builtins(msgspec.structs.replace(GRANT, account="else"))))
    assert (rulings.override("a2"), rulings.override("a3")) == (None, None)
    assert rulings.newest_number() == 0, "the folder of overrides is no document"
