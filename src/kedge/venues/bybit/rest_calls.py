"""One REST call with everything that belongs to it: room under the limits, signature, time-out, judgement, and a repeat where safe.

Rules: reads are repeated with back-off and jitter and then raise; a write is repeated only where carrying it out twice is the same
as once, or where the venue said that nothing happened because of the clock; what may have been carried out is never called
refused. The API key does not stand in errors.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from kedge.domain.errors import InvalidInput, VenueUnavailable
from kedge.domain.ports import Metrics
from kedge.domain.units import NS_PER_MS
from kedge.domain.venue import NO_PERMIT
from kedge.venues.bybit import rest_endpoints as ends
from kedge.venues.bybit.clock_offset import ClockOffset, ClockReport, ClockSample
from kedge.venues.bybit.codec import Envelope, TimeData, UnreadablePayload, decode, decode_envelope
from kedge.venues.bybit.codes import (
    DONE,
    HTTP_BAN_STATUS,
    Operation,
    Reaction,
    http_reaction,
    reaction,
)
from kedge.venues.bybit.http import NoReply, NotSent, TimeClass, Wire, WireReply
from kedge.venues.bybit.limits import Priority, Request, RequestLimits, Ticket
from kedge.venues.bybit.limits_queue import Admission, NoRoom
from kedge.venues.bybit.limits_watch import LimitsWatch
from kedge.venues.bybit.rest_endpoints import Endpoint
from kedge.venues.bybit.rest_outcome import NO_ROOM, NOT_SENT, Outcome, Permitted, read_error, time_result, unpermitted
from kedge.venues.bybit.signing import RECV_WINDOW_CREATE_MS, RECV_WINDOW_MS, Signer, rest_headers
from kedge.venues.bybit.troubles import Troubles

CLOCK_SAMPLES: Final = 5
READ_TRIES: Final = 4
WRITE_TRIES: Final = 3
CLOCK_WITHIN_S: Final = 4.0
"""How long a request may wait for the clock to be measured: a decision that is older than that is not to be sent."""


class Pace(NamedTuple):
    """Back-off of repeats, in seconds: `first_s`, doubled each time up to `most_s`, times a random half to one."""

    first_s: float = 0.2
    most_s: float = 3.0


DEFAULT_PACE: Final = Pace()


class Caller:
    """Calls endpoints of one host with one key.

    Parameters
    ----------
    signer : Signer, optional
        None for public endpoints only.
    seed : int
        Of the jitter between repeats.
    mono_ns, wall_ns : callables
        The machine's clocks.
    metrics : Metrics, optional
        Where the use of the limits is shown.

    Attributes
    ----------
    admission : Admission
        Gives room under the limits; of every way a request can go.
    troubles : Troubles, optional
        Hears of refusals that a person must mend, of every way a request can go.
    """

    def __init__(
        self,
        wire: Wire,
        limits: RequestLimits,
        signer: Signer | None = None,
        *,
        clock: ClockOffset | None = None,
        seed: int = 0,
        pace: Pace = DEFAULT_PACE,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        metrics: Metrics | None = None,
    ) -> None:
        self.wire, self.limits, self.signer = wire, limits, signer
        self.admission = Admission(limits, mono_ns, LimitsWatch(limits, metrics))
        self.clock = clock or ClockOffset()
        self.mono_ns, self._wall_ns = mono_ns, wall_ns
        self.troubles: Troubles | None = None
        self._pace = pace
        self._random = random.Random(seed)
        self._measuring = asyncio.Lock()

    async def measure_clock(self, samples: int = CLOCK_SAMPLES) -> ClockReport:
        """Measure the venue's clock now, best of several; one measurement at a time serves all that wait.

        Raises
        ------
        VenueUnavailable
            No answer of the time endpoint.
        """
        begun_ns = self.mono_ns()
        async with self._measuring:
            if self.clock.is_measured and not self.clock.is_due(begun_ns, 0):
                return self.clock.report()
            return self.clock.measure([await self._sample() for _ in range(samples)])

    async def venue_wall_ns(self) -> int:
        """The venue's wall clock, asked now."""
        return (await self._sample()).venue_ns

    async def _sample(self) -> ClockSample:
        outcome, sent_ns = await self._repeat_read(ends.TIME, "", Priority.CHECK, TimeClass.CLOCK)
        received_ns, wall_ns = self.mono_ns(), self._wall_ns()
        venue_ns = decode(time_result(outcome), TimeData, ends.TIME.path).time_nano
        return ClockSample(sent_ns, received_ns, wall_ns, venue_ns)

    async def read(
        self, endpoint: Endpoint, query: str = "", *, priority: Priority = Priority.CHECK, time_class: TimeClass = TimeClass.READ
    ) -> Envelope:
        """GET; repeated where that may help.

        Raises
        ------
        VenueUnavailable
            No answer, a ban, or no room under the limits; nothing is known.
        AccessRefused
            The key or the account may not.
        InvalidInput
            The venue refuses the parameters.
        """
        if endpoint.signed and self.clock.is_due(self.mono_ns()) and not await self.clock_is_mended() and not self.clock.is_measured:
            raise VenueUnavailable(f"{endpoint.path} was not asked", why="the venue's clock is not known", fix="wait and ask again")
        outcome, _ = await self._repeat_read(endpoint, query, priority, time_class)
        if outcome.reaction not in DONE or outcome.envelope is None:
            raise read_error(endpoint, outcome)
        return outcome.envelope

    async def _repeat_read(self, endpoint: Endpoint, query: str, priority: Priority, time_class: TimeClass) -> tuple[Outcome, int]:
        attempt = 0
        while True:
            sent_ns, outcome = await self._once(endpoint, query.encode(), priority, 1, RECV_WINDOW_MS, time_class)
            attempt += 1
            final = outcome.reaction in (Reaction.OK, Reaction.FATAL, Reaction.REFUSED) or outcome.code == NO_ROOM
            if final or attempt >= READ_TRIES or self.limits.banned_for_ns(self.mono_ns()):
                return outcome, sent_ns
            if outcome.reaction is Reaction.CLOCK and endpoint.signed:
                await self.measure_clock()
            else:
                await self._back_off(attempt - 1)

    async def write(
        self,
        endpoint: Endpoint,
        body: bytes,
        *,
        priority: Priority = Priority.TRADE,
        cost: int = 1,
        is_permitted: Permitted | None = None,
    ) -> Outcome:
        """POST exactly this body; never raises for what the venue or the network does.

        Parameters
        ----------
        cost : int
            What the limits count: orders in a batch, else 1.
        is_permitted : callable, optional
            Asked right before each signing; False leaves the request unsent.
        """
        if not self.clock.is_measured and not await self.clock_is_mended():
            return Outcome(Reaction.RETRY, NOT_SENT, "the venue's clock is not known")
        window_ms = RECV_WINDOW_CREATE_MS if endpoint.operation is Operation.CREATE else RECV_WINDOW_MS
        tries, uncertain, clock_tried, attempt = (WRITE_TRIES if endpoint.repeat_safe else 1), False, False, 0
        while True:
            _, outcome = await self._once(endpoint, body, priority, cost, window_ms, TimeClass.ORDER, is_permitted)
            if outcome.reaction is Reaction.CLOCK and not clock_tried:
                clock_tried = True
                if await self.clock_is_mended():
                    continue
            uncertain = uncertain or outcome.reaction is Reaction.AMBIGUOUS
            attempt += 1
            again = outcome.reaction in (Reaction.RETRY, Reaction.AMBIGUOUS) and outcome.code not in (NO_ROOM, NO_PERMIT)
            if not again or attempt >= tries or self.limits.banned_for_ns(self.mono_ns()):
                break
            await self._back_off(attempt)
        if uncertain and outcome.reaction not in DONE and outcome.reaction is not Reaction.GONE:
            return outcome._replace(reaction=Reaction.AMBIGUOUS)
        return outcome

    async def clock_is_mended(self) -> bool:
        """Measure the clock for a request that waits for it; False where that failed or took too long."""
        try:
            async with asyncio.timeout(CLOCK_WITHIN_S):
                await self.measure_clock()
        except (TimeoutError, VenueUnavailable):
            return False
        return True

    async def _back_off(self, attempt: int) -> None:
        longest = min(self._pace.first_s * 2**attempt, self._pace.most_s)
        await asyncio.sleep(longest * self._random.uniform(0.5, 1.0))

    async def _once(
        self,
        endpoint: Endpoint,
        payload: bytes,
        priority: Priority,
        cost: int,
        window_ms: int,
        time_class: TimeClass,
        is_permitted: Permitted | None = None,
    ) -> tuple[int, Outcome]:
        try:
            ticket = await self.admission.enter(Request(endpoint.group, priority, cost))
        except NoRoom as error:
            return self.mono_ns(), Outcome(Reaction.RETRY, NO_ROOM, str(error))
        sent_ns = self.mono_ns()
        refusal = unpermitted(is_permitted)
        if refusal is not None:
            self.admission.unsent(ticket)
            return sent_ns, refusal
        headers: dict[str, str] = {}
        if endpoint.signed:
            headers = rest_headers(self._signer(endpoint), payload, self.clock.timestamp_ms(sent_ns), window_ms)
        try:
            if endpoint.operation is Operation.READ:
                reply = await self.wire.get(endpoint.path, payload.decode(), headers, time_class)
            else:
                reply = await self.wire.post(endpoint.path, payload, headers, time_class)
        except NotSent as error:
            self.admission.unsent(ticket)
            return sent_ns, Outcome(Reaction.RETRY, NOT_SENT, str(error))
        except NoReply as error:
            unknown = Reaction.RETRY if endpoint.operation is Operation.READ else Reaction.AMBIGUOUS
            return sent_ns, Outcome(unknown, "", str(error))
        return sent_ns, self._judge(endpoint, reply, ticket)

    def _signer(self, endpoint: Endpoint) -> Signer:
        if self.signer is None:
            raise InvalidInput(f"{endpoint.path} needs a key", why="it is a private endpoint", fix="construct the client with credentials")
        return self.signer

    def _judge(self, endpoint: Endpoint, reply: WireReply, ticket: Ticket) -> Outcome:
        self.admission.answered(ticket, reply.limit, reply.remaining)
        if reply.status != 200:
            words = self.without_key(reply.body[:200].decode("utf-8", "replace"))
            if reply.status == HTTP_BAN_STATUS:
                self.admission.ban(f"HTTP 403 {words}".strip())
            else:
                self.admission.judged(endpoint.group, reply.status, self.reset_in_ns(reply.reset_ms))
            return self.heard(endpoint, Outcome(http_reaction(reply.status, endpoint.operation), f"HTTP_{reply.status}", words))
        try:
            envelope = decode_envelope(reply.body, endpoint.path)
        except UnreadablePayload as error:
            unknown = Reaction.RETRY if endpoint.operation is Operation.READ else Reaction.AMBIGUOUS
            return Outcome(unknown, "UNREADABLE", error.what)
        self.admission.judged(endpoint.group, envelope.ret_code, self.reset_in_ns(reply.reset_ms))
        message = self.without_key(envelope.ret_msg)
        judged = reaction(envelope.ret_code, endpoint.operation, message)
        return self.heard(endpoint, Outcome(judged, str(envelope.ret_code), message, envelope))

    def heard(self, endpoint: Endpoint, outcome: Outcome) -> Outcome:
        """Tell `troubles` of an answer, and hand it on."""
        if self.troubles is not None:
            if outcome.reaction is Reaction.FATAL:
                self.troubles.refused(endpoint.path, outcome.code, outcome.message, self.mono_ns())
            elif outcome.reaction in DONE:
                self.troubles.answered(endpoint.path)
        return outcome

    def reset_in_ns(self, reset_ms: int | None) -> int | None:
        """How long until the reset that the venue names, on its clock; None where either is not known."""
        if reset_ms is None or not self.clock.is_measured:
            return None
        return reset_ms * NS_PER_MS - self.clock.venue_wall_ns(self.mono_ns())

    def without_key(self, text: str) -> str:
        """The venue's words without the API key, which it sometimes repeats."""
        return text.replace(self.signer.api_key, "(key)") if self.signer is not None else text
