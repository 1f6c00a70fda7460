"""`kedge risk`: the figures of a run from its journal or from a server, and why an order was refused or let pass."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from kedge.apps import risk
from kedge.domain.errors import InvalidInput
from kedge.domain.outputs import OrderSent
from kedge.domain.people import Scope
from kedge.domain.record import Step
from kedge.risk.brake.triggers import TriggerLimits
from kedge.risk.limits import Limits
from kedge.services.limits_store import LimitsStore
from kedge.storage import SqliteJournalReader

from ..services.lineage_world import journal_of, model_run, stocked
from .market_files import kedge, refused
from .people_server import Served, served
from .test_people_commands import token_of


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A state folder with a run that holds positions, and its id."""
    folder = tmp_path_factory.mktemp("state")
    return folder, model_run(folder, stocked(folder), bars=40)


def first_order(folder: Path, run: str) -> tuple[str, str]:
    with SqliteJournalReader(journal_of(folder, run)) as journal:
        for record in journal.records():
            for output in record.outputs if isinstance(record, Step) else ():
                if isinstance(output, OrderSent):
                    return output.approved.order.client_order_id, output.approved.order.decision_id
    raise AssertionError("the run sent no order")


@pytest.mark.parametrize("what", ["show", "var", "stress", "limits"])
def test_each_is_told_from_the_journal_where_no_server_runs(state: tuple[Path, str], what: str) -> None:
    folder, run = state
    found = kedge("risk", what, "--state-dir", folder, "--json")
    assert found.code in (0, 9), found.err
    assert found.json["schema"] == f"kedge/risk-{'status' if what == 'show' else what}/v1"
    named = kedge("risk", what, "--run", run, "--state-dir", folder)
    assert named.code == found.code
    assert "\t" in named.out


def test_a_pipe_gets_a_line_for_each_measure_with_its_levels(state: tuple[Path, str]) -> None:
    lines = kedge("risk", "show", "--state-dir", state[0]).out.splitlines()
    assert lines[0].split("\t")[:3] == ["measure", "value", "state"]
    drawdown = next(line for line in lines if line.startswith("drawdown\t")).split("\t")
    assert (drawdown[4], drawdown[5]) == ("5.00 %", "6.50 %")
    assert "ok, stale" in drawdown[2]


def test_an_order_is_explained_rule_by_rule_and_a_decision_with_its_orders(state: tuple[Path, str]) -> None:
    folder, run = state
    order, decision = first_order(folder, run)
    found = kedge("risk", "explain", order, "--state-dir", folder, "--json")
    assert (found.code, found.json["run_id"]) == (0, run)
    assert found.json["orders"][0]["outcome"] == "approved"
    told = kedge("risk", "explain", decision, "--run", run, "--state-dir", folder).out
    for words in (decision, order, "ORDER_NOTIONAL", "C-RISK-01", "passed"):
        assert words in told
    assert refused(kedge("risk", "explain", "0" * 32, "--state-dir", folder, "--json")) == (3, "NOT_FOUND")


def test_an_empty_folder_says_what_to_do(tmp_path: Path) -> None:
    for what in ("show", "var", "stress"):
        assert refused(kedge("risk", what, "--state-dir", tmp_path, "--json")) == (3, "NOT_FOUND")
    assert refused(kedge("risk", "explain", "abc", "--state-dir", tmp_path, "--json")) == (3, "NOT_FOUND")
    assert "nobody says what holds" in kedge("risk", "limits", "--state-dir", tmp_path).out


def test_changes_are_read_strictly() -> None:
    assert risk.changes_of(["drawdown_soft_frac = 0.04", "var99_soft_frac=0.02"]) == {
        "drawdown_soft_frac": "0.04",
        "var99_soft_frac": "0.02",
    }
    for wrong in (["x"], ["=1"], ["a="], ["a=1", "a=2"]):
        with pytest.raises(InvalidInput, match="--tighten"):
            risk.changes_of(wrong)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server with people over a folder with limits of one account."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("KEDGE_SERVER", raising=False)
    with served(tmp_path / "state") as found:
        LimitsStore(found.folder, "acct", wall_ns=time.time_ns).begin(Limits(), TriggerLimits(), "trader")
        yield found


def test_a_running_server_is_asked_and_limits_are_tightened_there_in_ones_own_name(here: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kedge("risk", "show", "--state-dir", here.folder, "--json").json["measures"] == []  # nobody has an account: none is asked for
    ada = here.world.first_by_password("ada")
    assert refused(kedge("risk", "limits", "--state-dir", here.folder, "--json"))[1] == "NOT_SIGNED_IN"
    monkeypatch.setenv("KEDGE_TOKEN", token_of(here, ada, Scope.READ, Scope.RISK_WRITE))
    shown = kedge("risk", "limits", "--state-dir", here.folder, "--json").json
    assert (shown["account"], shown["current"]["number"]) == ("acct", 1)
    words = ("risk", "limits", "--tighten", "drawdown_soft_frac=0.04", "--reason", "a rough week", "--state-dir", here.folder)
    assert "limits no. 2" in kedge(*words).out
    assert "drawdown_soft_frac\t0.04" in kedge("risk", "limits", "--state-dir", here.folder).out
    looser = ("risk", "limits", "--tighten", "drawdown_soft_frac=0.05", "--reason", "calm again", "--state-dir", here.folder, "--json")
    assert refused(kedge(*looser))[1] == "FORBIDDEN"


def test_drawing_says_what_is_not_known() -> None:
    assert (risk.shown(None), risk.shown("0.0312"), risk.shown("1.5", "multiple")) == ("-", "3.12 %", "1.50 x")
    target = Console(record=True, width=200, force_terminal=True, no_color=True)
    unknown = {
        "method": "prior",
        "chosen": False,
        "convention": "",
        "n": 0,
        "flags": ["not used: x"],
        "colour": "unknown",
        "exceptions": None,
    }
    nothing = dict.fromkeys(("var99", "es975", "var99_money", "days"))
    risk._draw_var(target, {"methods": [{**unknown, **nothing}], "why": "no open position"})
    assert "no open position" in target.export_text()
