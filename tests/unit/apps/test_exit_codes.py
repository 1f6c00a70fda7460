from __future__ import annotations

import pytest

from kedge.apps import exit_codes
from kedge.domain import errors
from kedge.domain.problems import BY_CODE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exit_codes.UsageError("x"), 2),
        (errors.InvalidInput("x"), 4),
        (errors.InvalidConfig("x"), 4),
        (errors.NotFound("x"), 3),
        (errors.Conflict("x"), 6),
        (errors.IllegalTransition("x"), 1),
        (errors.IntegrityError("x"), 1),
        (errors.RecordingFailed("x"), 1),
        (errors.NotSignedIn("x"), 7),
        (errors.StepUpRequired("x"), 7),
        (errors.TooMany("x", retry_after_s=3), 8),
        (FileNotFoundError("x"), 3),
        (PermissionError("x"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 1),
    ],
)
def test_each_error_has_its_code(error: BaseException, code: int) -> None:
    assert exit_codes.exit_code_for(error) == code
    assert code in exit_codes.MEANINGS


def test_every_error_that_we_raise_on_purpose_is_listed() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.KedgeError)]
    assert len(kinds) > 5
    assert [kind.__name__ for kind in kinds if kind.code not in BY_CODE] == []


def test_numbers_are_the_documented_ones() -> None:
    assert sorted(exit_codes.MEANINGS) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 130]
