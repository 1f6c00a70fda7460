"""Why an order was refused or let pass: the record's own words, and every rule judged again on the books as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from kedge.domain.errors import NotFound, NotSignedIn
from kedge.domain.events import Event, OverrideGranted
from kedge.domain.orders import OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.outputs import OrderRefused, OrderSent
from kedge.domain.record import RunStarted, Step
from kedge.risk.gate_rules import RULES
from kedge.risk.sizing_policy import SizingPolicy
from kedge.services.models import strategy_of
from kedge.services.recovery import Onlooker, recover
from kedge.services.risk_explain import NOT_TRIED, PASSED, REFUSED, SET_ASIDE, Explained, explain, judged_again
from kedge.storage import SqliteJournalReader
from kedge.strategy.base import Strategy

from ...builders import AAA, MINUTE, T0, bar
from ..strategy.model_documents import Shelf
from .replica_runs import MODEL, Live, model_run


def orders_in(path: Path) -> list[tuple[str, str, str]]:
    """Client order id, decision id and code ('' where it was approved) of every order that the limits judged."""
    found = []
    with SqliteJournalReader(path) as journal:
        for record in journal.records():
            for output in record.outputs if isinstance(record, Step) else ():
                if isinstance(output, OrderSent):
                    found.append((output.approved.order.client_order_id, output.approved.order.decision_id, ""))
                elif isinstance(output, OrderRefused):
                    found.append((output.order.client_order_id, output.order.decision_id, output.code))
    return found


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("run") / "journal.sqlite"
    model_run(path, bars=60)
    return path


def test_judging_every_order_of_a_run_again_comes_out_as_it_was_recorded(journal: Path) -> None:
    told = orders_in(journal)
    assert len(told) > 5
    for client_order_id, _, code in told:
        (one,) = explain(journal, client_order_id).orders
        assert one.agrees, one
        assert (one.code, one.outcome) == (code, REFUSED if code else "approved")
        assert {rule.verdict for rule in one.rules} <= {PASSED, REFUSED, NOT_TRIED}


def test_an_approved_order_shows_every_rule_with_what_it_saw_and_its_limit(journal: Path) -> None:
    client_order_id = next(name for name, _, code in orders_in(journal) if not code)
    (one,) = explain(journal, client_order_id).orders
    shown = {rule.rule: rule for rule in one.rules}
    assert [rule.codes for rule in RULES if not any(code in name for name in shown for code in rule.codes)] == []
    notional = shown["ORDER_NOTIONAL"]
    assert (notional.verdict, notional.control) == (PASSED, "C-RISK-01")
    assert 0 < float(notional.observed) <= float(notional.limit)
    assert shown["VAR99"].observed.endswith("by prior")
    assert shown["PRICE_COLLAR"].limit == "100 bps"
    assert one.limits_version


def thin(path: Path, *before: Event) -> None:
    """A market so thin that the order which is wanted is a large share of it."""
    with Live(path) as live:
        live.step(*(bar(n, volume=200) for n in range(1, 4)), *before)
        live.wish.say(0.05)
        live.step(bar(4, volume=200))


def test_a_refused_order_names_the_rule_and_what_was_not_tried(tmp_path: Path) -> None:
    thin(tmp_path / "journal.sqlite")
    (name, _, code), *_ = orders_in(tmp_path / "journal.sqlite")
    assert code == "FAT_FINGER"
    (one,) = explain(tmp_path / "journal.sqlite", name).orders
    verdicts = [rule.verdict for rule in one.rules]
    at = verdicts.index(REFUSED)
    assert set(verdicts[:at]) == {PASSED}
    assert set(verdicts[at + 1 :]) == {NOT_TRIED}
    assert (one.rules[at].rule, one.rules[at].observed, one.rules[at].limit) == (code, one.observed, one.limit)
    assert one.agrees


def test_a_rule_that_two_people_set_aside_says_so(tmp_path: Path) -> None:
    granted = OverrideGranted(
        ts_ns=T0 + 3 * MINUTE, approval_id="a-1", instrument=AAA, side=Side.BUY, qty_max_lots=10**6, rules=("FAT_FINGER",),
        expires_ts_ns=T0 + 9 * MINUTE, requester="p-1", approver="p-2", reason="known to be thin",
    )  # fmt: skip
    thin(tmp_path / "journal.sqlite", granted)
    (name, _, code), *_ = orders_in(tmp_path / "journal.sqlite")
    assert code == ""
    (one,) = explain(tmp_path / "journal.sqlite", name).orders
    assert (one.override_id, one.agrees) == ("a-1", True)
    assert [rule.rule for rule in one.rules if rule.verdict == SET_ASIDE] == ["FAT_FINGER"]


def test_numbers_that_are_none_refuse_before_any_rule(tmp_path: Path) -> None:
    thin(tmp_path / "journal.sqlite")
    with SqliteJournalReader(tmp_path / "journal.sqlite") as journal:
        engine = recover(journal, strategy=Onlooker("wish"))
    order = OrderIntent(
        time_in_force=TimeInForce.GTC,
        reduce_only=False,
        client_order_id="c",
        decision_id="d",
        strategy="s",
        instrument=AAA,
        side=Side.BUY,
        kind=OrderKind.LIMIT,
        qty_lots=-1,
        limit_ticks=1_000,
    )
    rules, code = judged_again(engine, order)
    assert (code, [rule.verdict for rule in rules]) == ("GATE_FAILED", [REFUSED])


def test_a_decision_is_told_with_its_orders(journal: Path) -> None:
    _, decision_id, _ = orders_in(journal)[0]
    found: Explained = explain(journal, decision_id)
    assert found.decision is not None
    assert (found.decision.decision_id, found.decision.code) == (decision_id, "OK")
    assert {one.decision_id for one in found.orders} == {decision_id}
    assert len(explain(journal, decision_id, orders_max=0).orders) == 0


def test_a_decision_that_a_cap_cut_says_what_was_left_and_by_which(tmp_path: Path) -> None:
    with Live(tmp_path / "journal.sqlite", sizing=SizingPolicy()) as live:
        live.wish.say(0.2)
        live.step(bar(1))
    (name, decision_id, _), *_ = orders_in(tmp_path / "journal.sqlite")
    found = explain(tmp_path / "journal.sqlite", decision_id).decision
    assert found is not None
    assert (found.exposure, found.allowed, found.bound_by) == ("20.00 % of equity", "13.20 % of equity", "trade-risk")
    (one,) = explain(tmp_path / "journal.sqlite", name).orders
    assert one.agrees


def test_with_the_runs_own_strategy_its_snapshots_are_used_and_without_it_the_answer_is_the_same(journal: Path) -> None:
    client_order_id = orders_in(journal)[-1][0]

    def own(started: RunStarted) -> Strategy | None:
        return strategy_of(started, Shelf(MODEL))

    def gone(started: RunStarted) -> Strategy | None:
        raise NotSignedIn("the model is gone", why="w", fix="f")

    plain = explain(journal, client_order_id)
    assert explain(journal, client_order_id, own) == plain
    assert explain(journal, client_order_id, gone) == plain


def test_what_no_limit_ever_judged_is_not_found(journal: Path) -> None:
    with pytest.raises(NotFound, match="no order or decision"):
        explain(journal, "0" * 32)
