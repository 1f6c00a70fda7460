"""The registry of codes: complete, stable in shape, and the one that errors are told by."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import kedge
from kedge.apps.exit_codes import MEANINGS
from kedge.domain.errors import ApprovalRefused, InvalidInput, KedgeError, NotFound
from kedge.domain.problems import BY_CODE, KINDS, kind_of
from kedge.governance.approval_record import Code

SOURCE = Path(kedge.__file__).parent
SENT = re.compile(r"\bproblem(?:_body)?\(\s*\d{3}, \"([A-Z][A-Z_]+)\"")


def everything() -> list[type[KedgeError]]:
    for module in pkgutil.walk_packages(kedge.__path__, "kedge."):
        importlib.import_module(module.name)
    found, waiting = [], [KedgeError]
    while waiting:
        waiting += (one := waiting.pop()).__subclasses__()
        found.append(one)
    return [one for one in found if one.__module__.startswith("kedge.")]


def test_every_code_of_an_error_of_ours_is_registered() -> None:
    kinds = everything()
    assert len(kinds) > 40
    assert sorted({one.code for one in kinds} - set(BY_CODE)) == []


def test_every_code_that_is_sent_without_an_error_and_every_one_of_approvals_is_registered() -> None:
    texts = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py")]
    found = {code for text in texts for code in SENT.findall(text)}
    assert len(found) >= 5
    assert sorted(found - set(BY_CODE)) == []
    assert sorted(set(Code) - set(BY_CODE)) == []


def test_no_code_is_listed_twice_and_each_says_what_to_do() -> None:
    assert len(BY_CODE) == len(KINDS)
    for kind in KINDS:
        assert re.fullmatch(r"[A-Z][A-Z_]+", kind.code)
        assert kind.title
        assert kind.fix
        assert "|" not in kind.title + kind.fix
        assert kind.status == 0 or 400 <= kind.status < 600
        assert kind.exit_code in MEANINGS


def test_what_may_be_repeated_is_not_what_the_request_itself_got_wrong() -> None:
    assert {kind.status for kind in KINDS if kind.retryable} <= {408, 409, 429, 503}


@pytest.mark.parametrize(
    ("error", "code"),
    [(NotFound("x"), "NOT_FOUND"), (InvalidInput("x"), "INVALID_INPUT"), (ApprovalRefused("x"), "APPROVAL_REFUSED")],
)
def test_an_error_is_told_by_its_code(error: KedgeError, code: str) -> None:
    assert kind_of(error).code == code


def test_a_code_nobody_registered_is_told_as_the_nearest_base() -> None:
    class Odd(NotFound):
        code = "ODD"

    odd = NotFound("x")
    odd.code = "ODDER"
    assert (kind_of(Odd("x")).code, kind_of(odd).code) == ("NOT_FOUND", "NOT_FOUND")

    class Unknown(KedgeError):
        code = "UNKNOWN"

    assert kind_of(Unknown("x")).code == "KEDGE_ERROR"
