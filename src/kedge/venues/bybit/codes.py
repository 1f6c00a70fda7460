"""What a return code means for us: the reaction to it, by operation.

Rules: a code that nobody listed is ambiguous for a write and worth a repeat for a read; a time-out is never a refusal; the HTTP
status is judged before the body. The texts stand in the venue's documentation, the classes are our judgement.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Operation(StrEnum):
    """What a request does to the venue."""

    READ = "read"
    CREATE = "create"
    AMEND = "amend"
    CANCEL = "cancel"
    SET = "set"


class Reaction(StrEnum):
    """What to do about an answer.

    OK done · ALREADY it is so already, which is success · GONE no such open order · RETRY not carried out, ask again later ·
    LIMITED as RETRY, once the limit frees · CLOCK as RETRY, once the clock is measured again · AMBIGUOUS it may have been carried
    out, look it up · REFUSED the request's own fault, nothing happened · FATAL a person must act, nothing happened.
    """

    OK = "ok"
    ALREADY = "already"
    GONE = "gone"
    RETRY = "retry"
    LIMITED = "limited"
    CLOCK = "clock"
    AMBIGUOUS = "ambiguous"
    REFUSED = "refused"
    FATAL = "fatal"


NOTHING_HAPPENED: Final = frozenset({Reaction.GONE, Reaction.RETRY, Reaction.CLOCK, Reaction.REFUSED, Reaction.FATAL})
DONE: Final = frozenset({Reaction.OK, Reaction.ALREADY})

CLOCK_CODES: Final = frozenset({10002})
LIMIT_CODES: Final = frozenset({10006, 10018, 170222})
IP_BAN_CODES: Final = frozenset({10018})
DUPLICATE_ID_CODES: Final = frozenset({110072, 170141})
GONE_CODES: Final = frozenset({110001, 110008, 110010, 170139, 170142, 170143, 170213})

# Of settings: an order that is answered so was not understood, and nobody knows what became of it.
_ALREADY: Final = frozenset({20001, 34040, 110025, 110026, 110027, 110043})
_RETRY: Final = frozenset({-1, 110063, 110079, 131001, 131003})
_AMBIGUOUS: Final = frozenset(
    {429, 10000, 10014, 10016, 10019, 10403, 10429, 20003, 20006, 40004, 170001, 170005, 170007, 170032, 170146, 170147, 500000}
    | {30034, 30035, 130035, 130150}  # older interfaces; another client repeats them, so their meaning stays open for us
)
_FATAL: Final = frozenset(
    {
        -2015,
        10003,
        10004,
        10005,
        10007,
        10008,
        10009,
        10010,
        10017,
        10024,
        10027,
        10028,
        10029,
        33004,
        100028,
        110066,
        110124,
        110132,
        131004,
    }
)
_REFUSED: Final = frozenset(
    {10001, 10404, 110003, 110004, 110005, 110006, 110007, 110009, 110011, 110012, 110013, 110014, 110015}
    | {*range(110017, 110025), 110028, 110029, *range(110031, 110035), 110036, 110038, 110040, 110042, *range(110044, 110049)}
    | {*range(110057, 110062), 110064, 110073, 110074, 110078, 110085, 110086, 110089, 110090, *range(110092, 110101), 110103}
    | {110108, 110109, 110118, 110120, 110121, 131002, 170121, 170130, 170131, *range(170132, 170138), 170140, 170810}
    | {*range(181001, 181018), *range(182201, 182205), 3400045}
)
_UNCHANGED_TEXT: Final = "order remains unchanged"

FIXES: Final[dict[int, str]] = {
    10003: "check that the key belongs to this host (mainnet, testnet and demo keys differ) and was copied whole",
    10004: "check that the secret belongs to the key; if it does, report a defect with the origin_string of the answer",
    10005: "give the key the permission Contract - Orders and Positions",
    10007: "make a new key and store it",
    10008: "ask the venue why the account is banned, or switch it to a unified account",
    10009: "the venue does not serve this region",
    10010: "add this machine's public address to the key's list",
    10024: "complete the identity check the venue asks for",
    10027: "ask the venue why trading is banned for this account",
    10028: "upgrade the account to a unified trading account",
    10029: "add the symbol to the key's list",
    33004: "the key has expired: make a new one and store it",
    -2015: "the key has expired: make a new one and store it",
    10017: "the address serves another interface than v5, or this client is out of date: check the venue's address",
    100028: "this client asked for what unified accounts do not have: report a defect",
    110066: "the venue does not let this account trade now: read its notices, ask its support",
    110124: "the account is in its cooling-off time: wait until it ends, or ask the venue",
    110132: "the venue does not offer this contract in the account's region: trade another",
    131004: "complete the identity check the venue asks for",
}
HTTP_FIXES: Final = {
    "HTTP_400": "the request was malformed: report a defect",
    "HTTP_401": "check that key and secret belong together and to this host",
    "HTTP_404": "check the venue's address; a category may also be closed to the account's mode",
    "HTTP_405": "the request was malformed: report a defect",
}


def reaction(code: int, operation: Operation, message: str = "") -> Reaction:
    """What an answer with this return code asks of us."""
    if code == 0:
        return Reaction.OK
    if code in CLOCK_CODES:
        return Reaction.CLOCK
    if code in LIMIT_CODES:
        return Reaction.LIMITED if operation is Operation.READ else Reaction.AMBIGUOUS
    if (code in _ALREADY and operation is Operation.SET) or (code in DUPLICATE_ID_CODES and operation is Operation.CREATE):
        return Reaction.ALREADY
    if code == 10001 and operation is Operation.AMEND and _UNCHANGED_TEXT in message:
        return Reaction.ALREADY
    if code in GONE_CODES and operation in (Operation.CANCEL, Operation.AMEND):
        return Reaction.GONE
    return _listed(code, operation)


def _listed(code: int, operation: Operation) -> Reaction:
    if code in _FATAL:
        return Reaction.FATAL
    if code in _REFUSED or code in GONE_CODES or code in DUPLICATE_ID_CODES:
        return Reaction.REFUSED
    if code in _RETRY:
        return Reaction.RETRY
    return Reaction.RETRY if operation is Operation.READ else Reaction.AMBIGUOUS


def is_known(code: int) -> bool:
    """Whether the code is in the tables; an unknown one deserves a line in the log."""
    known = (CLOCK_CODES, LIMIT_CODES, DUPLICATE_ID_CODES, GONE_CODES, _ALREADY, _RETRY, _AMBIGUOUS, _FATAL, _REFUSED)
    return code == 0 or any(code in codes for codes in known)


HTTP_BAN_STATUS: Final = 403


def http_reaction(status: int, operation: Operation) -> Reaction:
    """What an HTTP status other than 200 asks of us. 403 is a ban of the address: nothing was carried out, and all requests rest."""
    if status == HTTP_BAN_STATUS:
        return Reaction.RETRY
    if status in (400, 401, 404, 405):
        return Reaction.FATAL
    return Reaction.RETRY if operation is Operation.READ else Reaction.AMBIGUOUS


def fix_for(code: int | str) -> str:
    """What a person can do about a fatal code or HTTP status (`HTTP_401`)."""
    text = str(code)
    if text in HTTP_FIXES:
        return HTTP_FIXES[text]
    number = int(text) if text.removeprefix("-").isdigit() else 0
    return FIXES.get(number, "see the venue's list of error codes, mend the cause and start again")
