"""Passwords: which are allowed, and their argon2id hashes.

Rules: at most two hashes are computed at once and two more wait, so that guesses eat neither memory nor threads; a name that nobody has
costs the same work as one that somebody has; a password is never part of an error. Parameters: RFC 9106's second recommendation (64 MiB,
3 passes), with one lane because a server of one machine has other work; OWASP's floor is 19 MiB and 2 passes.
"""

from __future__ import annotations

import base64
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.low_level import ARGON2_VERSION

from kedge.domain.errors import InvalidInput, TooMany
from kedge.ops.identity.common_passwords import COMMON_LETTERS, COMMON_PASSWORDS

PASSWORD_CHARS_MIN: Final = 12
PASSWORD_CHARS_MAX: Final = 128
"""Longer ones would only feed the hash; 64 at least must be allowed."""
DISTINCT_CHARS_MIN: Final = 5
NAME_CHARS_TELLING: Final = 3
"""A name of at least so many characters may not be the greater part of a password."""
LETTERS_BESIDE_NAMES: Final = 6
VERIFICATIONS_AT_ONCE: Final = 2
WAITING_MAX: Final = 2
"""More than these are sent away: each would hold a thread that others need."""
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32


class Argon2Cost(NamedTuple):
    """What a hash costs. `memory_kib` is in KiB."""

    memory_kib: int = 65536
    passes: int = 3
    lanes: int = 1


class Verdict(NamedTuple):
    """Whether a password fits, and whether its hash was made with other parameters than today's."""

    fits: bool
    is_outdated: bool


class Passwords:
    """Hashes and verifies.

    Parameters
    ----------
    cost : Argon2Cost
        Of new hashes.
    """

    def __init__(self, cost: Argon2Cost | None = None) -> None:
        wanted = cost or Argon2Cost()
        self._hasher = PasswordHasher(
            time_cost=wanted.passes,
            memory_cost=wanted.memory_kib,
            parallelism=wanted.lanes,
            hash_len=HASH_BYTES,
            salt_len=SALT_BYTES,
            type=Type.ID,
        )
        self._at_once = threading.BoundedSemaphore(VERIFICATIONS_AT_ONCE)
        self._crowd = threading.BoundedSemaphore(VERIFICATIONS_AT_ONCE + WAITING_MAX)
        self._nobodys = _nobodys(wanted)
        self.computed = 0
        """Hashes computed so far: equal for equal questions, whoever exists."""

    def hash(self, password: str) -> str:
        """A PHC string with a salt of its own.

        Raises
        ------
        TooMany
            Too many are being computed.
        """
        with self._turn():
            return self._hasher.hash(_hashed_bytes(password))

    def verify(self, phc: str | None, password: str) -> Verdict:
        """Whether the password fits; with None, the same work for a person whom nobody knows, and never a fit.

        Raises
        ------
        TooMany
            Too many are being computed.
        """
        given = phc if phc is not None else self._nobodys
        with self._turn():
            fits = self._fits(given, password)
        return Verdict(fits and phc is not None, fits and self._hasher.check_needs_rehash(given))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._crowd.acquire(blocking=False):
            raise TooMany("too many passwords are being checked", retry_after_s=1, why="each check takes memory and time on purpose")
        try:
            with self._at_once:
                self.computed += 1
                yield
        finally:
            self._crowd.release()

    def _fits(self, phc: str, password: str) -> bool:
        try:
            return self._hasher.verify(phc, _hashed_bytes(password))
        except (Argon2Error, InvalidHashError):
            return False


def _nobodys(cost: Argon2Cost) -> str:
    """A hash that no password is known to have: comparing with it costs what comparing with a person's does."""
    salt, digest = (base64.b64encode(bytes(size)).decode().rstrip("=") for size in (SALT_BYTES, HASH_BYTES))
    return f"$argon2id$v={ARGON2_VERSION}$m={cost.memory_kib},t={cost.passes},p={cost.lanes}${salt}${digest}"


def check_password(password: str, *, name: str, display_name: str = "") -> None:
    """Refuse a password that is easily guessed.

    Raises
    ------
    InvalidInput
        Too short, too long, common, of few different characters, or mainly the person's or the system's name.
    """
    problem = _weakness(_normal(password), (name, display_name, "kedge"))
    if problem:
        raise InvalidInput(
            f"the password {problem}",
            why="it would be among the first that somebody tries",
            fix=f"at least {PASSWORD_CHARS_MIN} characters that nobody else uses: four random words, or what a password manager makes",
        )


def _weakness(password: str, names: tuple[str, ...]) -> str:
    folded = "".join(password.casefold().split())
    if len(password) < PASSWORD_CHARS_MIN:
        return f"has {len(password)} characters, fewer than {PASSWORD_CHARS_MIN}"
    if len(password) > PASSWORD_CHARS_MAX:
        return f"has {len(password)} characters, more than {PASSWORD_CHARS_MAX}"
    if len(set(folded)) < DISTINCT_CHARS_MIN:
        return f"has fewer than {DISTINCT_CHARS_MIN} different characters"
    if folded in COMMON_PASSWORDS or folded.rstrip("0123456789!.?") in COMMON_LETTERS:
        return "is a common one"
    if _repeats(folded) or _climbs(folded):
        return "repeats or counts on"
    if _is_mainly(folded, names):
        return "is mainly the person's name, or the system's"
    return ""


def _is_mainly(text: str, names: tuple[str, ...]) -> bool:
    """Whether little is left of it without these names."""
    rest = text
    for name in names:
        part = "".join(name.casefold().split())
        rest = rest.replace(part, "") if len(part) >= NAME_CHARS_TELLING else rest
    return rest != text and len(rest) < PASSWORD_CHARS_MIN and sum(map(str.isalpha, rest)) < LETTERS_BESIDE_NAMES


def _repeats(text: str) -> bool:
    """Whether it is one short piece said again and again."""
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, len(text) // 2 + 1))


def _climbs(text: str) -> bool:
    """Whether nearly every character follows its neighbour, as in `abcdefghijkl` or `987654321098`."""
    steps = [ord(b) - ord(a) for a, b in zip(text, text[1:], strict=False)]
    return max(sum(step == 1 for step in steps), sum(step == -1 for step in steps)) >= len(steps) * 3 // 4


def _normal(password: str) -> str:
    """The same password from every keyboard."""
    return unicodedata.normalize("NFC", password)


def _hashed_bytes(password: str) -> bytes:
    """What argon2 is given. A password longer than any that is allowed fits nothing, and costs no more than another."""
    return _normal(password)[: PASSWORD_CHARS_MAX + 1].encode("utf-8", "surrogatepass")
