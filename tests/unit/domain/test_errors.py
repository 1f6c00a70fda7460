from __future__ import annotations

import pytest

from kedge.domain import errors
from kedge.domain.errors import IntegrityError, InvalidConfig, InvalidInput, KedgeError


def test_an_error_says_what_why_and_fix() -> None:
    assert str(InvalidInput("qty is 0", why="must be positive", fix="pass 1")) == "qty is 0; why: must be positive; fix: pass 1"
    assert str(InvalidInput("qty is 0")) == "qty is 0"
    assert InvalidInput("qty is 0").args == ("qty is 0",)


def test_the_base_is_never_raised_itself() -> None:
    with pytest.raises(TypeError, match="subclass"):
        KedgeError("something")


def test_codes_are_distinct_and_wrong_configuration_is_wrong_input() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, KedgeError)]
    assert len({kind.code for kind in kinds}) == len(kinds) >= 8
    assert issubclass(InvalidConfig, InvalidInput)
    assert not issubclass(IntegrityError, InvalidInput)
