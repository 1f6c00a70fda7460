"""Roles, acts and approvals are told everywhere they must be: in the document for people and among the errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.docs_people import CODE_WORDS, ROLE_WORDS

from kedge.domain.people import Role, Scope
from kedge.domain.problems import BY_CODE
from kedge.governance.actions import RULES, Action
from kedge.governance.approval_kinds import KINDS, ApprovalKind
from kedge.governance.approval_record import Code, Mark, State
from kedge.governance.roles import RolesExclude


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs/people.md").read_text(encoding="utf-8")


def test_every_reason_against_an_approval_is_an_error_with_its_page() -> None:
    assert [code for code in (*Code, RolesExclude.code) if code not in BY_CODE] == []


def test_every_reason_and_role_has_its_words() -> None:
    assert list(CODE_WORDS) == list(Code)
    assert list(ROLE_WORDS) == list(Role)


def test_the_document_names_every_act_role_kind_state_and_reason(page: str) -> None:
    acts = [action for action in Action if not RULES[action].system]
    assert [word for word in (*acts, *ApprovalKind, *Code) if f"`{word}`" not in page] == []
    assert [mark for mark in Mark if mark and f"`{mark}`" not in page] == []
    assert [role for role in Role if f"**{role}**" not in page] == []
    assert [state for state in State if f"| {state} |" not in page] == []


def test_every_scope_opens_something_and_every_kind_has_a_scope_that_may_ask() -> None:
    opened = set().union(*(rule.scopes for rule in RULES.values() if rule.scopes != frozenset(Scope)))
    later = {Scope.TRADE_PAPER}
    assert opened == set(Scope) - later
    assert {rule.scope for rule in KINDS.values()} <= RULES[Action.APPROVAL_REQUEST].scopes


def test_every_role_of_a_kind_may_do_what_its_part_takes() -> None:
    for kind, rule in KINDS.items():
        assert rule.requesters <= RULES[Action.APPROVAL_REQUEST].roles, kind
        assert rule.requesters <= RULES[Action.APPROVAL_USE].roles, kind
        assert rule.approvers <= RULES[Action.APPROVAL_DECIDE].roles, kind
