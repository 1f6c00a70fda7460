"""The exit codes of `kedge`, and which error gives which.

The rule: a code names the reader's next move, not the module that failed; `domain.problems` says which error has which. Scripts may rely
on these numbers; `kedge help exit-codes` prints this table and a test holds it.
"""

from __future__ import annotations

from typing import Final

from kedge.domain.errors import InvalidInput, KedgeError
from kedge.domain.problems import (
    EXIT_CONFLICT,
    EXIT_FAILURE,
    EXIT_INVALID,
    EXIT_NOT_FOUND,
    EXIT_REFUSED,
    EXIT_UNAVAILABLE,
    EXIT_USAGE,
    kind_of,
)

OK: Final = 0
FAILURE: Final = EXIT_FAILURE
USAGE: Final = EXIT_USAGE
NOT_FOUND: Final = EXIT_NOT_FOUND
INVALID: Final = EXIT_INVALID
CONFLICT: Final = EXIT_CONFLICT
REFUSED: Final = EXIT_REFUSED
UNAVAILABLE: Final = EXIT_UNAVAILABLE
FINDINGS: Final = 9
INTERRUPTED: Final = 130

MEANINGS: Final[dict[int, str]] = {
    OK: "done",
    FAILURE: "failed: the journal could not be written, records disagree, or a defect of ours",
    USAGE: "usage: unknown command or option, missing or malformed argument",
    NOT_FOUND: "not found: a file, run or instrument that was named does not exist",
    INVALID: "invalid: configuration or input data refused",
    CONFLICT: "conflict: somebody else holds it, such as the writer's lock",
    REFUSED: "refused by policy: limits, brake, a missing approval, a role, or credentials that may not be used",
    UNAVAILABLE: "upstream unavailable: try again later",
    FINDINGS: "completed with findings (doctor, verify, validate, replay)",
    INTERRUPTED: "interrupted by Ctrl-C",
}


class UsageError(InvalidInput):
    """The command line was not understood. Reaction: read the help."""

    code = "USAGE"


def exit_code_for(error: BaseException) -> int:
    """The exit code of an error: that of its code, or of the nearest of its base classes; `FAILURE` for what is not ours."""
    if isinstance(error, KedgeError):
        return kind_of(error).exit_code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return NOT_FOUND if isinstance(error, FileNotFoundError) else FAILURE
