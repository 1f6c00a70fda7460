"""Refusals that only the desk of people gives; each with its own reaction."""

from __future__ import annotations

from kedge.domain.errors import Forbidden, IntegrityError, NotFound, NotSignedIn


class SignInRefused(NotSignedIn):
    """What was given does not prove who somebody is; which part is never said. Reaction: try again, or use another factor."""

    code = "SIGN_IN_REFUSED"


class LinkRefused(NotFound):
    """A set-up link, ticket, code or question is unknown, used, replaced or expired. Reaction: begin anew."""

    code = "LINK_REFUSED"


class ApprovalRequired(Forbidden):
    """The roles risk, admin and auditor take a second person. Reaction: ask for an approval of the kind role-grant."""

    code = "APPROVAL_REQUIRED"


class ApprovalForged(IntegrityError):
    """The store holds an approval that the server did not sign so, or an older state of it. Reaction: keep the files as evidence."""


def sign_in_refused() -> SignInRefused:
    """The one answer to every failed proof of identity."""
    return SignInRefused(
        "signing in was refused",
        why="name, password and code, or the passkey, do not fit together; which of them is not told",
        fix="try again with the next code, use another factor, or ask an admin for a set-up link",
    )


def link_refused(what: str = "set-up link") -> LinkRefused:
    """The one answer to a secret that does not open anything."""
    return LinkRefused(f"this {what} is not valid", why="it is unknown, used, replaced by a newer one, or expired", fix="ask for a new one")
