"""What an error of ccxt means for us. Decided by the names of its classes, so that nothing of the library need be loaded.

Rules: a write is refused only where its class says that the exchange looked at it and said no; a network error, a rate limit, maintenance,
and any class that is only "some error of the exchange" leave the outcome unknown; a request that was never signed was never sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kedge.domain.errors import AccessRefused, InvalidInput, KedgeError, VenueUnavailable
from kedge.domain.venue import Answer, Refused, Taken, Unanswered

NOT_SENT: Final = "NOT_SENT"
"""Code of a write that failed before it was signed."""

_ACCESS: Final = frozenset({"AuthenticationError", "PermissionDenied", "AccountNotEnabled", "AccountSuspended"})
_NO: Final = frozenset(
    {
        "InvalidOrder",
        "InsufficientFunds",
        "BadRequest",
        "BadSymbol",
        "ArgumentsRequired",
        "OperationRejected",
        "NotSupported",
        "InvalidAddress",
        "MarketClosed",
        *_ACCESS,
    }
)
_NETWORK: Final = frozenset({"OperationFailed", "NetworkError"})
_CODE: Final = re.compile(r'"(?:retCode|ret_code|sCode|code)"\s*:\s*"?(-?[0-9]+)')


def names_of(error: BaseException) -> frozenset[str]:
    """The names of an error's class and of all it derives from."""
    return frozenset(kind.__name__ for kind in type(error).__mro__)


def is_of_ccxt(error: BaseException) -> bool:
    """Whether the library raised it."""
    return "BaseError" in names_of(error) or type(error).__name__ == "ThrottleError"


def code_of(error: BaseException) -> str:
    """The exchange's own code where the text carries one, else the name of the class."""
    found = _CODE.search(str(error))
    return found.group(1) if found is not None else type(error).__name__


def is_access(error: BaseException) -> bool:
    """Whether key, account or machine are refused: a person has to mend that."""
    return bool(names_of(error) & _ACCESS)


def answer_to(error: BaseException, *, was_signed: bool, taken_codes: frozenset[str] = frozenset()) -> Answer:
    """What a failed write says about what became of it.

    Parameters
    ----------
    was_signed : bool
        Whether the request got as far as its signature; without, it never left.
    taken_codes : frozenset
        Codes with which the exchange says that what is asked for is so already.
    """
    names, code = names_of(error), code_of(error)
    if not was_signed:
        return Refused(NOT_SENT, _text(error))
    if code in taken_codes:
        return Taken()
    if names & _NETWORK or not names & _NO:
        return Unanswered(_text(error))
    return Refused(code, _text(error))


def is_proof(row: object) -> bool:
    """Whether an answer to a write says that it was taken: ccxt makes an order without an id of a page that it could not read."""
    return isinstance(row, Mapping) and (bool(row.get("id")) or str(row.get("retCode")) == "0")


def error_of(error: BaseException) -> KedgeError:
    """What a failed read raises."""
    names, text = names_of(error), _text(error)
    if names & _ACCESS:
        return AccessRefused(text, why="the exchange refuses the key, the account or this machine", fix="mend the key or its permissions")
    if names & {"BadSymbol", "ArgumentsRequired", "NotSupported"}:
        return InvalidInput(text, why="the exchange, or ccxt, does not have this", fix="choose what it has; see its traits")
    if names & {"RateLimitExceeded", "DDoSProtection"}:
        return VenueUnavailable(text, why="too many requests", fix="wait; ask less often")
    if "OnMaintenance" in names:
        return VenueUnavailable(text, why="the exchange is in maintenance", fix="wait")
    return VenueUnavailable(text, why="the exchange did not answer, or not in words that are understood", fix="wait, and ask again")


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).encode('ascii', 'replace').decode()[:300]}"
