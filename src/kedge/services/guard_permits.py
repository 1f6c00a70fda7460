"""Permits over a socket: what the guard answers, how it is signed, and the trader's client.

Rules: an answer counts for the nonce that asked for it, for this account, with the key that both share; it counts from the moment at which
the question left, so that a slow answer is an old one; what is not granted takes back what was granted before; and what cannot be checked
is no answer at all.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from kedge.domain.brake import BrakeLevel, Trigger, permits_risk
from kedge.domain.canonical import encode
from kedge.domain.errors import IntegrityError, VenueUnavailable
from kedge.domain.events import Event, OrderRejected
from kedge.domain.outputs import Output
from kedge.domain.units import NS_PER_S
from kedge.domain.venue import NO_PERMIT, NOT_LISTED
from kedge.engine.fold_orders import NOT_SENT
from kedge.services.guard.status import Heartbeat, PermitAnswer
from kedge.services.guard.waiting import in_time
from kedge.services.permits import Listener, Told

PERMIT_PATH: Final = "/permit"
NONCE_CHARS: Final = 32
ANSWER_WITHIN_S: Final = 1.5
"""An answer that takes longer would hardly leave time to use it; the connection is given up, and the next question takes a new one."""
ANSWER_BYTES_MAX: Final = 16 * 1024
HEARTBEAT_RUN: Final = "X-Kedge-Run"
HEARTBEAT_PID: Final = "X-Kedge-Pid"
HEARTBEAT_REJECTS: Final = "X-Kedge-Rejects"
HEARTBEAT_MAC: Final = "X-Kedge-Beat"
REJECTS_MAX: Final = 1_000
NUMBER_CHARS_MAX: Final = 18
MINUTE_NS: Final = 60 * NS_PER_S
OWN_REFUSALS: Final = frozenset({NO_PERMIT, NOT_LISTED, NOT_SENT})
"""Codes of orders that never left us."""
_DOMAIN: Final = b"kedge/permit/v1\n"
_BEAT_DOMAIN: Final = b"kedge/beat/v1\n"

_log: Final = logging.getLogger("kedge.permits")


class SignedPermit(msgspec.Struct, frozen=True, kw_only=True):
    """The guard's answer as it travels. `mac` is HMAC-SHA256 (hex) over everything else; `why` says why it is not granted."""

    account: str
    nonce: str
    granted: bool
    level: BrakeLevel
    trigger: Trigger | None
    generation: int
    guard: str
    reason: str = ""
    why: str = ""
    mac: str = ""


class Asks(Protocol):
    """One question over the wire: the path with its query, and headers; the body of a good answer."""

    async def __call__(self, target: str, headers: dict[str, str]) -> bytes: ...


def mac_of(permit: SignedPermit, key: bytes) -> str:
    """What signs a permit: over every field but the signature itself."""
    return _mac(key, _DOMAIN + encode(msgspec.structs.replace(permit, mac="")))


def sign_permit(permit: SignedPermit, key: bytes) -> SignedPermit:
    """The permit with its signature."""
    return msgspec.structs.replace(permit, mac=mac_of(permit, key))


def permit_bytes(said: PermitAnswer, account: str, key: bytes) -> bytes:
    """What the guard says to one question as it travels: of its account, and signed."""
    permit = SignedPermit(
        account=account, nonce=said.nonce, granted=said.granted, level=said.level, trigger=said.trigger, generation=said.generation,
        guard=said.guard, reason=said.reason, why=said.why,
    )  # fmt: skip
    return msgspec.json.encode(sign_permit(permit, key))


def read_permit(body: bytes, *, nonce: str, account: str, key: bytes) -> SignedPermit:
    """The answer to one question.

    Raises
    ------
    IntegrityError
        It is no permit, not signed with our key, of another account, or the answer to another question.
    """
    try:
        found = msgspec.json.decode(body, type=SignedPermit)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_permit(str(error)) from None
    if not hmac.compare_digest(mac_of(found, key), found.mac if found.mac.isascii() else ""):
        raise _no_permit("it is not signed with the key that guard and trader share")
    if found.nonce != nonce:
        raise _no_permit("it answers another question")
    if found.account != account:
        raise _no_permit(f"it is of account {found.account!r}, not {account!r}")
    if found.granted and not permits_risk(found.level):
        raise _no_permit(f"it grants at the level {found.level}")
    return found


def beat_headers(beat: Heartbeat, nonce: str, account: str, key: bytes) -> dict[str, str]:
    """A trader's sign of life as headers of its question, signed for this question."""
    found = {HEARTBEAT_RUN: beat.run_id, HEARTBEAT_PID: str(beat.pid), HEARTBEAT_MAC: _beat_mac(beat, nonce, account, key)}
    return found if beat.rejects is None else {**found, HEARTBEAT_REJECTS: str(beat.rejects)}


def beat_of(headers: Mapping[str, str], nonce: str, account: str, key: bytes) -> Heartbeat | None:
    """The sign of life in a question; None where there is none, or where it is not signed with our key: anybody here may ask."""
    mac, pid, rejects = headers.get(HEARTBEAT_MAC, ""), headers.get(HEARTBEAT_PID, ""), headers.get(HEARTBEAT_REJECTS)
    if not mac or not mac.isascii() or not _is_number(pid) or not (rejects is None or _is_number(rejects)):
        return None
    beat = Heartbeat(run_id=headers.get(HEARTBEAT_RUN, ""), pid=int(pid), rejects=None if rejects is None else int(rejects))
    return beat if hmac.compare_digest(_beat_mac(beat, nonce, account, key), mac) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= NUMBER_CHARS_MAX


def _beat_mac(beat: Heartbeat, nonce: str, account: str, key: bytes) -> str:
    return _mac(key, _BEAT_DOMAIN + encode([account, nonce, beat]))


def _mac(key: bytes, body: bytes) -> str:
    keyed = _keyed(key).copy()
    keyed.update(body)
    return keyed.hexdigest()


@lru_cache(maxsize=8)
def _keyed(key: bytes) -> hmac.HMAC:
    """A key made ready once: setting it up costs more than signing, and each question and answer is signed and checked."""
    return hmac.new(key, digestmod="sha256")


def _no_permit(why: str) -> IntegrityError:
    return IntegrityError("the guard's answer is no permit", why=why, fix="look who listens at the guard's port; restart guard and trader")


class RemotePermits:
    """The trader's side: asks the guard again and again, and remembers when the newest permit's question left.

    Parameters
    ----------
    ask : callable
        One question over the wire; raises `VenueUnavailable` or `OSError` where nobody answers.
    clock_ns : callable
        The clock that permits age by.

    Attributes
    ----------
    granted_ns : int or None
        When the question of the newest permit left; None where none was granted, or where it was taken back.
    told : Told or None
        What the guard said last of its brake; None before the first answer.
    problem : str
        Why there is no permit; empty where there is one.
    beat : callable
        Gives the run's id, and how many orders the venue refused in the last minute (None where nobody counts).
    """

    def __init__(
        self,
        ask: Asks,
        *,
        account: str,
        key: bytes,
        pid: int,
        clock_ns: Callable[[], int],
        within_s: float = ANSWER_WITHIN_S,
        nonce: Callable[[], str] = lambda: secrets.token_hex(NONCE_CHARS // 2),
    ) -> None:
        self._ask, self._account, self._key, self._pid = ask, account, key, pid
        self.clock_ns, self._within_s, self._nonce = clock_ns, within_s, nonce
        self.guard = "unheard"
        self.granted_ns: int | None = None
        self.told: Told | None = None
        self.problem = "no guard has answered yet"
        self.heard_ns: int | None = None
        self._listeners: list[Listener] = []
        self.beat: Callable[[], tuple[str, int | None]] = lambda: ("", None)
        self._asking: asyncio.Task[None] | None = None

    def listen(self, listener: Listener) -> None:
        """Tell of every new level or generation, in the order in which the guard says them; of the last one at once."""
        self._listeners.append(listener)
        if self.told is not None:
            listener(self.told)

    def renew(self) -> None:
        """Ask anew, unless a question is under way."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self.ask_once())

    async def close(self) -> None:
        """Ask no more; nothing is permitted from here on."""
        self.granted_ns = None
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    async def ask_once(self) -> None:
        """One question and its answer, or none within the time."""
        nonce, sent_ns = self._nonce(), self.clock_ns()
        run_id, rejects = self.beat()
        beat = Heartbeat(run_id=run_id, pid=self._pid, rejects=rejects)
        headers = beat_headers(beat, nonce, self._account, self._key)
        try:
            body = await in_time(self._ask(f"{PERMIT_PATH}?nonce={nonce}", headers), self._within_s)
            found = read_permit(body, nonce=nonce, account=self._account, key=self._key)
        except TimeoutError:
            self._not_heard(f"the guard does not answer within {self._within_s:g} s")
            return
        except (VenueUnavailable, OSError) as error:
            why = error.what if isinstance(error, VenueUnavailable) else error.strerror or type(error).__name__
            self._not_heard(f"the guard does not answer: {why}")
            return
        except IntegrityError as error:
            self._not_heard(error.why)
            return
        self._heard(found, sent_ns)

    def _heard(self, found: SignedPermit, sent_ns: int) -> None:
        self.guard, self.heard_ns = found.guard, sent_ns
        told = Told(found.level, found.generation, found.trigger, found.reason)
        self.granted_ns = sent_ns if found.granted else None
        self._say("" if found.granted else found.why or f"the brake is {found.level}")
        if self.told is None or (told.level, told.generation) != (self.told.level, self.told.generation):
            self.told = told
            for listener in self._listeners:
                listener(told)

    def _not_heard(self, why: str) -> None:
        """The permit that there is runs out by itself."""
        self._say(why)

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            level = logging.WARNING if problem else logging.INFO
            _log.log(level, "%s", f"no permit: {problem}" if problem else f"permits of {self.guard}", extra={"event": "permits"})
        self.problem = problem


class Rejects:
    """Counts the orders that the venue refused in the last minute of venue time, as a watcher of the trader's steps."""

    def __init__(self) -> None:
        self._at_ns: deque[int] = deque(maxlen=REJECTS_MAX)
        self._now_ns = 0

    def saw(self, event: Event, _: Sequence[Output]) -> None:
        """One step of the trader."""
        self._now_ns = max(self._now_ns, event.ts_ns)
        if isinstance(event, OrderRejected) and event.code not in OWN_REFUSALS:
            self._at_ns.append(event.ts_ns)

    def count(self) -> int:
        """Refusals of the last minute."""
        while self._at_ns and self._now_ns - self._at_ns[0] > MINUTE_NS:
            self._at_ns.popleft()
        return len(self._at_ns)
