"""The exit codes of `kedge`, and which error gives which.

The rule: a code names the reader's next move, not the module that failed. Scripts may rely on these numbers;
`kedge help exit-codes` prints this table and a test holds it.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.errors import (
    AccessRefused,
    Conflict,
    IllegalTransition,
    IntegrityError,
    InvalidInput,
    KedgeError,
    MarketGone,
    NotFound,
    RecordingFailed,
    VenueUnavailable,
)

OK: Final = 0
FAILURE: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
INVALID: Final = 4
CONFLICT: Final = 6
REFUSED: Final = 7
UNAVAILABLE: Final = 8
FINDINGS: Final = 9
INTERRUPTED: Final = 130

MEANINGS: Final[dict[int, str]] = {
    OK: "done",
    FAILURE: "failed: the journal could not be written, records disagree, or a defect of ours",
    USAGE: "usage: unknown command or option, missing or malformed argument",
    NOT_FOUND: "not found: a file, run or instrument that was named does not exist",
    INVALID: "invalid: configuration or input data refused",
    CONFLICT: "conflict: somebody else holds it, such as the writer's lock",
    REFUSED: "refused by policy: limits, brake, a missing approval, or credentials that may not be used",
    UNAVAILABLE: "upstream unavailable: try again later",
    FINDINGS: "completed with findings (doctor, verify, validate, replay)",
    INTERRUPTED: "interrupted by Ctrl-C",
}


class UsageError(InvalidInput):
    """The command line was not understood. Reaction: read the help."""

    code = "USAGE"


_BY_ERROR: Final[dict[type[BaseException], int]] = {
    UsageError: USAGE,
    InvalidInput: INVALID,
    NotFound: NOT_FOUND,
    Conflict: CONFLICT,
    MarketGone: CONFLICT,
    IllegalTransition: FAILURE,
    IntegrityError: FAILURE,
    RecordingFailed: FAILURE,
    VenueUnavailable: UNAVAILABLE,
    AccessRefused: REFUSED,
    KedgeError: FAILURE,
    KeyboardInterrupt: INTERRUPTED,
    FileNotFoundError: NOT_FOUND,
}


def exit_code_for(error: BaseException) -> int:
    """The exit code of an error, by the nearest of its base classes; `FAILURE` when none is listed."""
    return next((_BY_ERROR[kind] for kind in type(error).__mro__ if kind in _BY_ERROR), FAILURE)
