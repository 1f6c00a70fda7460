"""What came of a request, in our words: its judgement as the port's answer, or as the error of a read.

Rules: what may have been carried out is never called refused; what was not signed says so by its code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from kedge.domain.errors import AccessRefused, InvalidInput, VenueUnavailable
from kedge.domain.venue import NO_PERMIT, Answer, Refused, Taken, Unanswered
from kedge.venues.bybit.codec import Envelope, OrderIds, UnreadablePayload, decode
from kedge.venues.bybit.codes import DONE, NOTHING_HAPPENED, Reaction, fix_for
from kedge.venues.bybit.rest_endpoints import Endpoint

Permitted = Callable[[], bool]
"""Whether new risk may be added now."""

NOT_SENT: Final = "NOT_SENT"
NO_ROOM: Final = "NO_ROOM"


class Outcome(NamedTuple):
    """What came of a request: our judgement, the venue's code (or `NOT_SENT`, `NO_ROOM`, `HTTP_500`), its words, and its answer."""

    reaction: Reaction
    code: str
    message: str
    envelope: Envelope | None = None

    def answer(self, venue_order_id: str = "") -> Answer:
        """The port's word for it."""
        if self.reaction in DONE:
            return Taken(venue_order_id)
        if self.reaction is Reaction.FATAL:
            return Refused(self.code, f"{self.message}; {fix_for(self.code)}".removeprefix("; "))
        if self.reaction in NOTHING_HAPPENED:
            return Refused(self.code, self.message)
        return Unanswered(f"{self.code}: {self.message}" if self.code else self.message)


def order_answer(outcome: Outcome, endpoint: Endpoint) -> Answer:
    """The port's word for a request about one order, with the venue's id of it; an answer that cannot be read is no answer."""
    if outcome.reaction is not Reaction.OK or outcome.envelope is None:
        return outcome.answer()
    try:
        return Taken(decode(outcome.envelope.result, OrderIds, endpoint.path).order_id)
    except UnreadablePayload as error:
        return Unanswered(error.what)


def unpermitted(is_permitted: Permitted | None) -> Outcome | None:
    """The outcome of a request that may not be signed any more; None where it may."""
    if is_permitted is None or is_permitted():
        return None
    return Outcome(Reaction.RETRY, NO_PERMIT, "the permit ran out before it was signed; it was not sent")


def time_result(outcome: Outcome) -> bytes:
    """What the time endpoint said.

    Raises
    ------
    VenueUnavailable
        It said nothing.
    """
    if outcome.envelope is None or outcome.reaction is not Reaction.OK:
        raise VenueUnavailable(
            f"the venue's time endpoint answered {outcome.code} {outcome.message}".rstrip(),
            why="its clock is not known",
            fix="wait and ask again",
        )
    return bytes(outcome.envelope.result)


def read_error(endpoint: Endpoint, outcome: Outcome) -> VenueUnavailable | AccessRefused | InvalidInput:
    """The error of a read that was not answered well."""
    what = f"{endpoint.path} answered {outcome.code} {outcome.message}".rstrip()
    if outcome.reaction is Reaction.FATAL:
        return AccessRefused(what, why="the venue refuses the key, the account or the request", fix=fix_for(outcome.code))
    if outcome.reaction in (Reaction.REFUSED, Reaction.GONE):
        return InvalidInput(what, why="the venue refuses the parameters", fix="correct the parameter that the text names")
    if outcome.code in (NO_ROOM, NOT_SENT, ""):
        what = f"{endpoint.path}: {outcome.message}"
    return VenueUnavailable(what, why="nothing is known", fix="wait and ask again; check the connection if it lasts")
