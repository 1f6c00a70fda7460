"""Paper keys: made once, for their owner's eyes only, never shown, and never replaced when damaged."""

from __future__ import annotations

import json
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kedge.domain.errors import InvalidConfig
from kedge.ops import paper_keys
from kedge.ops.paper_keys import PERMISSIONS, PaperKey, load_or_create_paper_keys, paper_key, paper_keys_file


def test_keys_are_made_on_first_use_and_stay(tmp_path: Path) -> None:
    made = load_or_create_paper_keys(tmp_path)
    assert [(key.name, key.permissions) for key in made] == [("trader", PERMISSIONS), ("guard", PERMISSIONS)]
    assert made[0].account == made[1].account
    assert made[0].api_key != made[1].api_key
    assert load_or_create_paper_keys(tmp_path) == made
    assert paper_key(tmp_path) == made[0]
    assert len(made[0].api_key) == 18
    assert len(made[0].api_secret) == 36
    assert made[0].account.isdigit()


def test_no_key_may_withdraw_or_move_money(tmp_path: Path) -> None:
    for key in load_or_create_paper_keys(tmp_path):
        assert not [name for name in key.permissions if "Wallet" in name or "Withdraw" in name]


def test_two_state_folders_have_different_keys(tmp_path: Path) -> None:
    (one, _), (other, _) = load_or_create_paper_keys(tmp_path / "a"), load_or_create_paper_keys(tmp_path / "b")
    assert one.api_key != other.api_key
    assert one.api_secret != other.api_secret


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_or_create_paper_keys(tmp_path)
    finally:
        os.umask(before)
    path = paper_keys_file(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_that_others_may_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    load_or_create_paper_keys(tmp_path)
    paper_keys_file(tmp_path).chmod(0o644)
    with pytest.raises(InvalidConfig, match="0644") as refused:
        load_or_create_paper_keys(tmp_path)
    assert refused.value.fix.startswith("chmod 600")


def test_a_secret_is_never_in_a_key_s_text(tmp_path: Path) -> None:
    key = paper_key(tmp_path)
    assert key.api_secret not in f"{key!r} {key} {[key]}"


@pytest.mark.parametrize("text", ["", "{", '{"schema":"kedge/paper-keys/v1","keys":[{"name":"trader"}]}', "[]"])
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, text: str) -> None:
    load_or_create_paper_keys(tmp_path)
    path = paper_keys_file(tmp_path)
    path.write_text(text)
    with pytest.raises(InvalidConfig, match="damaged") as refused:
        load_or_create_paper_keys(tmp_path)
    assert "restore" in refused.value.fix
    assert path.read_text() == text


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "kedge/paper-keys/v9"},
        {"keys": []},
        {"name": ""},
        {"api_key": ""},
        {"api_secret": ""},
        {"account": "not digits"},
        {"again": True},
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    load_or_create_paper_keys(tmp_path)
    path = paper_keys_file(tmp_path)
    plain = json.loads(path.read_bytes())
    if change.pop("again", False):
        plain["keys"].append(plain["keys"][0])
    for name, value in change.items():
        (plain if name in plain else plain["keys"][0])[name] = value
    path.write_text(json.dumps(plain))
    with pytest.raises(InvalidConfig, match="damaged"):
        load_or_create_paper_keys(tmp_path)


def test_a_name_without_a_key_is_refused_and_the_known_ones_are_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="no paper key 'auditor'") as refused:
        paper_key(tmp_path, "auditor")
    assert "trader, guard" in refused.value.why


def test_a_file_of_before_the_guard_gets_its_key_on_the_same_account_and_keeps_the_trader_s(tmp_path: Path) -> None:
    trader, _ = load_or_create_paper_keys(tmp_path)
    path = paper_keys_file(tmp_path)
    plain = json.loads(path.read_bytes())
    plain["keys"] = [{**plain["keys"][0], "account": "10000077", "wallet_e8": 5}]
    path.write_text(json.dumps(plain))
    path.chmod(0o600)
    found = load_or_create_paper_keys(tmp_path)
    assert [key.name for key in found] == ["trader", "guard"]
    assert (found[0].api_key, found[0].api_secret) == (trader.api_key, trader.api_secret)
    assert (found[1].account, found[1].wallet_e8) == ("10000077", 5)
    assert load_or_create_paper_keys(tmp_path) == found
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_processes_that_start_together_go_by_one_guard_s_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_or_create_paper_keys(tmp_path)
    path = paper_keys_file(tmp_path)
    plain = json.loads(path.read_bytes())
    path.write_text(json.dumps({**plain, "keys": plain["keys"][:1]}))
    made, together, found = paper_keys._made, threading.Barrier(2, timeout=0.3), list[list[PaperKey]]()

    def slowly(*given: Any) -> PaperKey:
        with suppress(threading.BrokenBarrierError):
            together.wait()
        return made(*given)

    monkeypatch.setattr(paper_keys, "_made", slowly)
    threads = [threading.Thread(target=lambda: found.append(load_or_create_paper_keys(tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [load_or_create_paper_keys(tmp_path)] * 2
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_without_a_trader_is_left_as_it_is(tmp_path: Path) -> None:
    load_or_create_paper_keys(tmp_path)
    path = paper_keys_file(tmp_path)
    plain = json.loads(path.read_bytes())
    plain["keys"] = [{**plain["keys"][0], "name": "mine"}]
    path.write_text(json.dumps(plain))
    assert [key.name for key in load_or_create_paper_keys(tmp_path)] == ["mine"]


def test_where_another_process_was_faster_its_keys_are_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def slow_link(draft: Path, path: Path) -> None:
        monkeypatch.setattr(os, "link", real)
        load_or_create_paper_keys(tmp_path)
        real(draft, path)

    monkeypatch.setattr(os, "link", slow_link)
    mine = load_or_create_paper_keys(tmp_path)
    assert mine == load_or_create_paper_keys(tmp_path)
    assert [file.name for file in paper_keys_file(tmp_path).parent.iterdir()] == ["keys.json"]
