"""Every code of an error, once: what it means, its HTTP status, whether asking again may help, and the exit code of the command line.

Rules: a code is stable and never given another meaning; the API, the command line and docs/errors.md read this table, and a test holds
every code in the source to it. Status 0 is never sent over HTTP.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kedge.domain.errors import KedgeError

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_FOUND: Final = 3
EXIT_INVALID: Final = 4
EXIT_CONFLICT: Final = 6
EXIT_REFUSED: Final = 7
EXIT_UNAVAILABLE: Final = 8


class Kind(NamedTuple):
    """One kind of problem.

    Attributes
    ----------
    code : str
        Stable.
    status : int
        Of HTTP; 0 where the API never sends it.
    title : str
        What it means, whatever the occasion.
    fix : str
        What helps, whatever the occasion.
    exit_code : int
        Of `kedge`.
    retryable : bool
        Whether the very same request may succeed later.
    """

    code: str
    status: int
    title: str
    fix: str
    exit_code: int
    retryable: bool = False

    @property
    def slug(self) -> str:
        """The code as it stands in an address."""
        return self.code.lower().replace("_", "-")


_ASK_ANEW: Final = "request the approval anew, with the payload that is to be carried out"

KINDS: Final[tuple[Kind, ...]] = (
    # what was asked
    Kind("USAGE", 0, "the command line was not understood", "read the command's --help", EXIT_USAGE),
    Kind("NO_HTTP", 400, "this is no request as in HTTP/1.1", "send one that is", EXIT_INVALID),
    Kind("BODY_BROKEN", 400, "the body is no JSON, or names a key twice", "send one JSON object, each key once", EXIT_INVALID),
    Kind("KEY_MISSING", 400, "the request needs an Idempotency-Key", "send a new random one, kept over repeats", EXIT_INVALID),
    Kind("TWO_IDENTITIES", 400, "the request carries a cookie and a token", "send one of the two", EXIT_INVALID),
    Kind("REPEATED_HEADER", 400, "a header that may come once came twice", "send it once", EXIT_INVALID),
    Kind("NOT_FOUND", 404, "what was named does not exist", "name another", EXIT_NOT_FOUND),
    Kind("METHOD_NOT_ALLOWED", 405, "the address does not take this method", "the Allow header names those it takes", EXIT_INVALID),
    Kind("BODY_LATE", 408, "the body did not come in time", "send it with the request", EXIT_INVALID, retryable=True),
    Kind("BODY_TOO_LONG", 413, "the body is too long", "at most 64 KiB", EXIT_INVALID),
    Kind("BODY_TYPE", 415, "the body is not declared as JSON", "Content-Type: application/json", EXIT_INVALID),
    Kind("INVALID_INPUT", 422, "a value is not valid", "see what is named, and /api/v1/openapi.json", EXIT_INVALID),
    Kind("INVALID_CONFIG", 422, "the configuration is not valid", "mend the key that is named", EXIT_INVALID),
    Kind("WRONG_TYPE", 422, "a recorded value is of another type", "mend the value that is named", EXIT_INVALID),
    Kind("ROLES_EXCLUDE", 422, "two roles must not be in one person", "give one of them to somebody else", EXIT_REFUSED),
    Kind("KEY_REUSED", 422, "the Idempotency-Key was used for another request", "choose a new key", EXIT_INVALID),
    Kind("HEADERS_TOO_LONG", 431, "the headers are too long", "at most 64 KiB", EXIT_INVALID),
    # who asks
    Kind("NOT_SIGNED_IN", 401, "nobody is known to ask", "sign in: the page /sign-in, or kedge login", EXIT_REFUSED),
    Kind("SIGN_IN_REFUSED", 401, "name, password or code is wrong", "try again; a passkey is never locked", EXIT_REFUSED),
    Kind("FORBIDDEN", 403, "the role does not allow it", "ask somebody whose role does; /people shows who", EXIT_REFUSED),
    Kind("STEP_UP_REQUIRED", 403, "the last proof of identity is too old", "prove who you are again, then repeat", EXIT_REFUSED),
    Kind("CSRF_REFUSED", 403, "the request does not show that our own page sent it", "load the page again", EXIT_REFUSED),
    Kind("FOREIGN_HOST", 403, "the request names another host than this machine", "ask 127.0.0.1 or localhost", EXIT_REFUSED),
    Kind("FOREIGN_ORIGIN", 403, "another site's page asks", "open the server's own page", EXIT_REFUSED),
    Kind("ACCESS_REFUSED", 403, "credentials are refused", "mend the key that is named", EXIT_REFUSED),
    Kind("APPROVAL_REQUIRED", 403, "it takes a second person", "ask for an approval", EXIT_REFUSED),
    Kind("LINK_REFUSED", 404, "the link, ticket or question is unknown, used or too old", "begin anew, with a new link", EXIT_REFUSED),
    # approvals
    Kind("APPROVAL_REFUSED", 409, "the approval does not carry the act", _ASK_ANEW, EXIT_REFUSED),
    Kind("OWN_REQUEST", 409, "it is your own request", "another person decides it", EXIT_REFUSED),
    Kind("NOT_OWN_REQUEST", 409, "it is somebody else's request", "leave it to them", EXIT_REFUSED),
    Kind("NOT_INDEPENDENT", 409, "who gains by it or made it cannot judge it", "ask another person", EXIT_REFUSED),
    Kind("WRONG_ROLE", 409, "the approval takes another role", "ask a person who holds it", EXIT_REFUSED),
    Kind("PAYLOAD_CHANGED", 409, "the payload is not the one that was asked for", _ASK_ANEW, EXIT_REFUSED),
    Kind("PROOF_ELSEWHERE", 409, "the passkey signed something else", "look at the approval again, then decide", EXIT_REFUSED),
    Kind("NOT_APPROVED", 409, "nobody has approved it yet", "wait, or ask anew", EXIT_REFUSED),
    Kind("ALREADY_DECIDED", 409, "it was decided before", _ASK_ANEW, EXIT_REFUSED),
    Kind("ALREADY_USED", 409, "it was used before", _ASK_ANEW, EXIT_REFUSED),
    Kind("EXPIRED", 409, "its time is over", _ASK_ANEW, EXIT_REFUSED),
    Kind("NOT_EXPIRED", 409, "its time is not over", "wait", EXIT_REFUSED),
    Kind("COOLING", 409, "one person alone waits before deciding", "wait as long as it says", EXIT_REFUSED, retryable=True),
    Kind("SOLO_NOT_ALLOWED", 409, "one person alone may not decide this here", "ask another person", EXIT_REFUSED),
    Kind("NO_BOOTSTRAP", 409, "others could approve it", "ask one of them", EXIT_REFUSED),
    # what stands against it
    Kind("CONFLICT", 409, "somebody else holds it", "wait, or stop the other", EXIT_CONFLICT, retryable=True),
    Kind("MARKET_GONE", 409, "the simulated market was begun anew", "end the run, begin another one", EXIT_CONFLICT),
    Kind("STILL_RUNNING", 409, "the same request is still being carried out", "wait, then repeat it", EXIT_CONFLICT, retryable=True),
    Kind("ANSWER_NOT_KEPT", 409, "it was done; its answer held a secret", "look at the list, then make another", EXIT_CONFLICT),
    Kind("CHANGED", 412, "somebody else changed it since it was read", "read it again, then decide again", EXIT_CONFLICT),
    Kind("VERSION_MISSING", 428, "the request names no version to change", "send If-Match with the ETag", EXIT_INVALID),
    Kind("TOO_MANY", 429, "too many attempts or requests", "wait as long as Retry-After says", EXIT_UNAVAILABLE, retryable=True),
    # what is not there, or broken
    Kind("NO_RUN", 503, "there is no run to show", "kedge up", EXIT_UNAVAILABLE, retryable=True),
    Kind("UNAVAILABLE", 503, "a part that is needed does not answer", "wait; /health names the part", EXIT_UNAVAILABLE, retryable=True),
    Kind("NO_PEOPLE", 503, "this server keeps no accounts", "kedge serve, which does", EXIT_UNAVAILABLE),
    Kind("TOO_MANY_CLIENTS", 503, "too many listen to the stream", "close a page", EXIT_UNAVAILABLE, retryable=True),
    Kind("VENUE_UNAVAILABLE", 503, "the venue does not answer", "wait; what is reserved stays reserved", EXIT_UNAVAILABLE, retryable=True),
    Kind("ILLEGAL_TRANSITION", 500, "a report does not fit the order's state", "stop trading; the books disagree", EXIT_FAILURE),
    Kind("INTEGRITY", 500, "our own records disagree", "stop trading, keep the files, kedge audit verify", EXIT_FAILURE),
    Kind("RECORDING_FAILED", 500, "the journal could not be written", "free the disk; nothing is sent meanwhile", EXIT_FAILURE),
    Kind("CHILD_GIVEN_UP", 0, "a process ended again and again", "mend what its log names", EXIT_FAILURE),
    Kind("SYSTEM_ERROR", 0, "the operating system refused", "check path, permissions and disk", EXIT_FAILURE),
    Kind("KEDGE_ERROR", 500, "an error without a name of its own", "see the log", EXIT_FAILURE),
    Kind("DEFECT", 0, "a defect of ours", "run it with --debug and report the traceback", EXIT_FAILURE),
    Kind("INTERNAL", 500, "a defect of ours", "the server's log names it: kedge.log in the state folder", EXIT_FAILURE),
)  # fmt: skip

BY_CODE: Final[dict[str, Kind]] = {kind.code: kind for kind in KINDS}


def kind_of(error: KedgeError) -> Kind:
    """The kind of an error: that of its code, else of the nearest of its base classes."""
    known = (str(getattr(one, "code", "")) for one in type(error).__mro__)
    return next((BY_CODE[code] for code in (error.code, *known) if code in BY_CODE), BY_CODE["KEDGE_ERROR"])
