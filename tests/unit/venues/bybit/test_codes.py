"""Return codes to reactions: what may be repeated, what may have happened, what a person must mend."""

from __future__ import annotations

import pytest

from kedge.venues.bybit.codes import FIXES, Operation, Reaction, fix_for, http_reaction, is_known, reaction

WRITES = [Operation.CREATE, Operation.AMEND, Operation.CANCEL, Operation.SET]
AMBIGUOUS = [429, 10000, 10016, 10019, 10403, 10429, 20003, 20006, 170001, 170005, 170007, 170032, 500000]


@pytest.mark.parametrize("operation", list(Operation))
def test_zero_is_success(operation: Operation) -> None:
    assert reaction(0, operation) is Reaction.OK


@pytest.mark.parametrize("operation", WRITES)
@pytest.mark.parametrize("code", [*AMBIGUOUS, 10006])
def test_a_write_may_have_been_carried_out_under_an_ambiguous_code(operation: Operation, code: int) -> None:
    assert reaction(code, operation) is Reaction.AMBIGUOUS


@pytest.mark.parametrize("code", AMBIGUOUS)
def test_a_read_is_simply_asked_again_under_an_ambiguous_code(code: int) -> None:
    assert reaction(code, Operation.READ) is Reaction.RETRY


@pytest.mark.parametrize("code", [31337, -7, 110999])
def test_a_code_nobody_listed_is_ambiguous_for_writes(code: int) -> None:
    assert not is_known(code)
    assert {reaction(code, operation) for operation in WRITES} == {Reaction.AMBIGUOUS}
    assert reaction(code, Operation.READ) is Reaction.RETRY


@pytest.mark.parametrize(
    ("code", "operation", "expected"),
    [
        (10002, Operation.CREATE, Reaction.CLOCK),
        (10002, Operation.READ, Reaction.CLOCK),
        (10006, Operation.READ, Reaction.LIMITED),
        (10018, Operation.READ, Reaction.LIMITED),
        (110043, Operation.SET, Reaction.ALREADY),
        (110025, Operation.SET, Reaction.ALREADY),
        (34040, Operation.SET, Reaction.ALREADY),
        (110072, Operation.CREATE, Reaction.ALREADY),
        (110072, Operation.AMEND, Reaction.REFUSED),
        (110001, Operation.CANCEL, Reaction.GONE),
        (110001, Operation.AMEND, Reaction.GONE),
        (110001, Operation.CREATE, Reaction.REFUSED),
        (110010, Operation.CANCEL, Reaction.GONE),
        (110007, Operation.CREATE, Reaction.REFUSED),
        (110017, Operation.CREATE, Reaction.REFUSED),
        (110094, Operation.CREATE, Reaction.REFUSED),
        (10001, Operation.CREATE, Reaction.REFUSED),
        (110079, Operation.CANCEL, Reaction.RETRY),
        (10003, Operation.READ, Reaction.FATAL),
        (10010, Operation.CREATE, Reaction.FATAL),
        (33004, Operation.READ, Reaction.FATAL),
    ],
)
def test_a_listed_code_has_its_reaction(code: int, operation: Operation, expected: Reaction) -> None:
    assert is_known(code)
    assert reaction(code, operation) is expected


def test_an_amend_that_changes_nothing_is_success_only_by_its_words() -> None:
    words = "The order remains unchanged as the parameters entered match the existing ones."
    assert reaction(10001, Operation.AMEND, words) is Reaction.ALREADY
    assert reaction(10001, Operation.AMEND, "Qty invalid") is Reaction.REFUSED
    assert reaction(10001, Operation.CREATE, words) is Reaction.REFUSED


@pytest.mark.parametrize(
    ("status", "read", "write"),
    [
        (403, Reaction.RETRY, Reaction.RETRY),
        (401, Reaction.FATAL, Reaction.FATAL),
        (404, Reaction.FATAL, Reaction.FATAL),
        (429, Reaction.RETRY, Reaction.AMBIGUOUS),
        (500, Reaction.RETRY, Reaction.AMBIGUOUS),
        (503, Reaction.RETRY, Reaction.AMBIGUOUS),
        (302, Reaction.RETRY, Reaction.AMBIGUOUS),
    ],
)
def test_http_statuses_are_judged_before_the_body(status: int, read: Reaction, write: Reaction) -> None:
    assert http_reaction(status, Operation.READ) is read
    assert http_reaction(status, Operation.CREATE) is write


def test_every_fatal_code_says_what_to_do() -> None:
    assert "this host" in fix_for(10003)
    assert "this host" in fix_for("HTTP_401")
    assert "list of error codes" in fix_for("UNREADABLE")
    assert {code for code in range(-3000, 200_000) if reaction(code, Operation.READ) is Reaction.FATAL} == set(FIXES)
