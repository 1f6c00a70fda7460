"""The errors a caller may see. Few, each with its own reaction; a risk refusal is a value, not an error.

Every error says what happened, why, and what to do about it, so that the CLI, the API and the logs can
print the same three lines. `code` is stable and documented; messages may improve.
"""

from __future__ import annotations


class KedgeError(Exception):
    """Base of the errors Kedge raises on purpose. Never raised itself.

    Parameters
    ----------
    what : str
        One line: what failed, naming the field and the value.
    why : str
        One line: the rule or fact behind it.
    fix : str
        One line: what the reader can do now.
    """

    code = "KEDGE_ERROR"

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        if type(self) is KedgeError:
            raise TypeError("raise a subclass that names the reaction")
        super().__init__(what)
        self.what, self.why, self.fix = what, why, fix

    def __str__(self) -> str:
        parts = [self.what]
        parts += [f"why: {self.why}"] if self.why else []
        parts += [f"fix: {self.fix}"] if self.fix else []
        return "; ".join(parts)


class InvalidInput(KedgeError):
    """The caller asked for the impossible. Reaction: fix the call."""

    code = "INVALID_INPUT"


class InvalidConfig(InvalidInput):
    """A configuration key or value is wrong. Reaction: fix the configuration."""

    code = "INVALID_CONFIG"


class NotFound(KedgeError):
    """A file, run or instrument that was named does not exist. Reaction: name another."""

    code = "NOT_FOUND"


class Conflict(KedgeError):
    """Somebody else holds what is asked for, such as the writer's lock. Reaction: wait, or stop the other."""

    code = "CONFLICT"


class MarketGone(Conflict):
    """A simulated market was begun anew: prices, wallets and time are others. Reaction: end the run, begin another one."""

    code = "MARKET_GONE"


class IllegalTransition(KedgeError):
    """A report does not fit the order's state. Reaction: stop trading, the books disagree."""

    code = "ILLEGAL_TRANSITION"


class IntegrityError(KedgeError):
    """Our own records disagree (hash, sequence, position). Reaction: stop trading, keep the evidence."""

    code = "INTEGRITY"


class RecordingFailed(KedgeError):
    """The journal could not be written (disk full, unreadable). Reaction: send nothing, stop."""

    code = "RECORDING_FAILED"


class VenueUnavailable(KedgeError):
    """The venue did not answer, is in maintenance or has banned us; nothing is known. Reaction: wait, ask again, keep what is reserved."""

    code = "VENUE_UNAVAILABLE"


class AccessRefused(KedgeError):
    """The venue or we refuse the credentials: wrong key, wrong clock, a permission too many. Reaction: a person mends the key."""

    code = "ACCESS_REFUSED"


class NotSignedIn(KedgeError):
    """Nobody is known to ask, or what they showed is no longer valid. Reaction: sign in."""

    code = "NOT_SIGNED_IN"


class Forbidden(KedgeError):
    """We know who asks, and they may not. Reaction: ask somebody whose role allows it."""

    code = "FORBIDDEN"


class StepUpRequired(Forbidden):
    """The act is dangerous and the last proof of identity too old. Reaction: prove it again, then repeat."""

    code = "STEP_UP_REQUIRED"


class TooMany(KedgeError):
    """Too many attempts or requests. Reaction: wait.

    Parameters
    ----------
    retry_after_s : int
        When asking again may help, in seconds, at least 1.
    """

    code = "TOO_MANY"

    def __init__(self, what: str, *, retry_after_s: int, why: str = "", fix: str = "") -> None:
        super().__init__(what, why=why, fix=fix or f"wait {retry_after_s} s")
        self.retry_after_s = max(1, retry_after_s)


class Changed(Conflict):
    """Somebody else changed it since it was read. Reaction: read it again, then decide again."""

    code = "CHANGED"


class ApprovalRefused(KedgeError):
    """An approval does not carry the act: own request, another payload, expired, used, or the wrong role. Reaction: ask anew."""

    code = "APPROVAL_REFUSED"
