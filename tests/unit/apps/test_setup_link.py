"""The link that makes the first account: printed for who starts the server, and in no file."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from kedge.apps.up import setup_link
from kedge.apps.up_parts import Plan, specs
from kedge.ops.health_file import SERVER, health_path
from kedge.services.people.desk import open_links

from .market_files import kedge

WAIT_S = 20.0


def ends_once_it_stands(state: Path) -> threading.Thread:
    def run() -> None:
        deadline = time.monotonic() + WAIT_S
        while not (health_path(state, SERVER).exists() and (state / "people" / "acts").exists()) and time.monotonic() < deadline:
            time.sleep(0.01)
        if health_path(state, SERVER).exists():
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("form", [["--json"], []])
def test_a_server_without_accounts_prints_the_link_and_writes_it_nowhere(state: Path, form: list[str]) -> None:
    waiting = ends_once_it_stands(state)
    answer = kedge("serve", "--port", 0, "--state-dir", state, *form)
    waiting.join(WAIT_S)
    url = answer.json["setup_url"] if form else next(word for word in answer.out.split() if "/setup#" in word)
    assert url.startswith("http://localhost:")
    secret = url.partition("/setup#")[2]
    assert len(secret) >= 43
    written = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    assert b"serving" in written
    assert secret.encode() not in written


def test_a_server_whose_output_is_kept_prints_none(state: Path) -> None:
    waiting = ends_once_it_stands(state)
    answer = kedge("serve", "--port", 0, "--state-dir", state, "--hide-setup-link", "--json")
    waiting.join(WAIT_S)
    assert json.loads(answer.out)["setup_url"] is None


def test_up_makes_the_link_itself_and_a_new_one_each_time(state: Path) -> None:
    first, second = setup_link(state, 8080), setup_link(state, 8080)
    assert first is not None
    assert first.startswith("http://localhost:8080/setup#")
    assert first != second


def test_up_has_no_link_where_the_store_cannot_be_read(state: Path) -> None:
    with open_links(state):
        pass
    (state / "people" / "people.sqlite").write_bytes(b"no store at all" * 100)
    assert setup_link(state, 8080) is None


def test_the_supervised_server_keeps_the_link_to_itself(tmp_path: Path) -> None:
    plan = Plan(tmp_path, exchange_port=1, server_port=2, speed="1", interval="1m", exchange=(), trader=(), shared=())
    (server,) = [spec for spec in specs(plan, None) if spec.name == SERVER]  # type: ignore[arg-type]  # nobody is asked
    assert "--hide-setup-link" in server.command
