"""Proofs of identity: questions that are asked once, passkeys that answer them, and passwords with a code.

Rules: a question is taken off the store before its answer is looked at, so that one answer is looked at once; it is bound to its purpose
and to the session that asked. A name that nobody has costs the same work as one that somebody has.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from kedge.domain.errors import InvalidInput, TooMany
from kedge.ops.identity import passkeys, secret_text, totp
from kedge.ops.identity.passkeys import CHALLENGE_BYTES, KnownKey, PasskeyRefused
from kedge.services.people.answers import PasskeyEvidence
from kedge.services.people.errors import link_refused, sign_in_refused
from kedge.services.people.shared import NS, Shared
from kedge.storage.people_rows import Challenge, Passkey, Password, Person, RecoveryCode, Totp
from kedge.storage.people_store import Tx

CHALLENGE_S: Final = 5 * 60
CHALLENGES_MAX: Final = 10_000
"""Questions that wait at once, of everybody. Limits of requests come long before."""
PASSKEY: Final = "passkey"
PASSWORD_TOTP: Final = "password+totp"
PASSWORD_RECOVERY: Final = "password+recovery"
NOBODYS_ID: Final = "nobody"


class Question(NamedTuple):
    """What a challenge carries besides its bytes: for set-up, who is about to be."""

    challenge_id: str
    value: bytes


class Pending(msgspec.Struct, frozen=True, omit_defaults=True):
    """What waits with a challenge: the bytes to be signed (hex), or what is set up, sealed and hashed as it will be kept."""

    value: str = ""
    link_hash: str = ""
    name: str = ""
    display_name: str = ""
    phc: str = ""
    sealed: str = ""


class Known(NamedTuple):
    """What the store has of a person when a password comes in; of nobody, nothing."""

    person: Person | None
    password: Password | None
    totp: Totp | None


class Fit(NamedTuple):
    """What fitted: to be looked at again in the transaction that relies on it."""

    phc: str
    is_outdated: bool
    step: int | None
    recovery_hash: str

    @property
    def method(self) -> str:
        """How the person proved who they are."""
        return PASSWORD_TOTP if self.step is not None else PASSWORD_RECOVERY


class Proofs:
    """Asks and verifies."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._nobodys_secret = shared.sealer.seal(shared.random_bytes(totp.SECRET_BYTES), bound_to=totp_bound_to(NOBODYS_ID))

    def ask(
        self,
        purpose: str,
        *,
        person_id: str | None = None,
        session_hash: str | None = None,
        pending: Pending | None = None,
        challenge_id: str = "",
        ttl_s: int = CHALLENGE_S,
    ) -> Question:
        """Keep a question until it is answered or too old; without a value of its own, it is 32 random bytes."""
        value = bytes.fromhex(pending.value) if pending and pending.value else self._shared.random_bytes(CHALLENGE_BYTES)
        now = self._shared.wall_ns()
        kept = msgspec.structs.replace(pending or Pending(), value=value.hex())
        row = Challenge(
            challenge_id=challenge_id or self._shared.random_bytes(16).hex(),
            purpose=purpose,
            value=msgspec.json.encode(kept).decode(),
            expires_wall_ns=now + ttl_s * NS,
            person_id=person_id,
            session_hash=session_hash,
        )
        with self._shared.store.writing() as tx:
            tx.delete_until(Challenge, "expires_wall_ns", now)
            if tx.count(Challenge) >= CHALLENGES_MAX:
                raise TooMany(
                    "too many sign-ins are under way", retry_after_s=CHALLENGE_S, why=f"{CHALLENGES_MAX} questions wait for their answers"
                )
            tx.add(row)
        return Question(row.challenge_id, value)

    def take(
        self, challenge_id: str, purpose: str, *, person_id: str | None = None, session_hash: str | None = None
    ) -> tuple[Challenge, Pending]:
        """The question with this id, for the last time.

        Raises
        ------
        LinkRefused
            There is none for this purpose, person and session.
        """
        if not challenge_id.isascii():
            raise link_refused("question")
        with self._shared.store.writing() as tx:
            found = tx.get(Challenge, challenge_id)
            if found is not None:
                tx.delete(Challenge, challenge_id)
        return self._checked(found, purpose, person_id, session_hash)

    def look(self, tx: Tx, challenge_id: str, purpose: str, *, session_hash: str | None = None) -> tuple[Challenge, Pending]:
        """The question with this id, which stays: for what is no guess to repeat, such as the first code of one's own app."""
        return self._checked(tx.get(Challenge, challenge_id), purpose, None, session_hash)

    def _checked(self, row: Challenge | None, purpose: str, person_id: str | None, session_hash: str | None) -> tuple[Challenge, Pending]:
        stands = (
            row is not None and row.purpose == purpose and self._shared.wall_ns() < row.expires_wall_ns and row.session_hash == session_hash
        )
        if row is None or not stands or (person_id is not None and row.person_id != person_id):
            raise link_refused("question")
        return row, msgspec.json.decode(row.value, type=Pending)

    def passkey(
        self, tx: Tx, credential: dict[str, Any], challenge: bytes, *, person_id: str | None = None
    ) -> tuple[Person, PasskeyEvidence]:
        """Whose passkey answered; its counter and last use are kept.

        Raises
        ------
        SignInRefused
            Unknown, another person's, or it proves nothing.
        """
        row = tx.get(Passkey, passkeys.credential_id_of(credential))
        person = tx.get(Person, row.person_id) if row else None
        if row is None or person is None or person.state != "active" or (person_id is not None and row.person_id != person_id):
            raise sign_in_refused()
        try:
            answer = passkeys.asserted(self._shared.party, credential, challenge=challenge, key=known_key(row), user_id=row.person_id)
        except PasskeyRefused:
            raise sign_in_refused() from None
        now = self._shared.wall_ns()
        tx.put(msgspec.structs.replace(row, sign_count=answer.sign_count, used_wall_ns=now))
        evidence = PasskeyEvidence(
            row.credential_id, row.public_key, answer.client_data_json, answer.authenticator_data, answer.signature, now
        )
        return person, evidence

    def new_passkey(self, credential: dict[str, Any], challenge: bytes, *, person_id: str, label: str) -> Passkey:
        """The row of a passkey that a browser just made; the caller adds it.

        Raises
        ------
        InvalidInput
            What the browser sent proves nothing.
        """
        try:
            key = passkeys.registered(self._shared.party, credential, challenge=challenge)
        except PasskeyRefused as error:
            raise InvalidInput(
                "this passkey cannot be kept", why=str(error), fix="try again on this page, or with another passkey"
            ) from None
        return Passkey(
            credential_id=key.credential_id,
            person_id=person_id,
            public_key=key.public_key,
            sign_count=key.sign_count,
            label=label,
            transports=key.transports,
            made_wall_ns=self._shared.wall_ns(),
        )

    def known(self, tx: Tx, person: Person | None) -> Known:
        """What a password and a code of this person are compared with; of nobody, as many looks find nothing."""
        person_id = person.person_id if person else NOBODYS_ID
        password, secret = tx.get(Password, person_id), tx.get(Totp, person_id)
        if person is None or person.state != "active" or password is None or secret is None or not secret.confirmed:
            return Known(None, None, None)
        return Known(person, password, secret)

    def compare(self, known: Known, password: str, code: str) -> Fit | None:
        """Whether password and code fit, outside of any transaction because it is slow on purpose. The work is the same whoever exists."""
        verdict = self._shared.passwords.verify(known.password.phc if known.password else None, password)
        if known.person and known.totp:
            raw = self._shared.sealer.open(known.totp.sealed, bound_to=totp_bound_to(known.person.person_id))
        else:
            raw = self._shared.sealer.open(self._nobodys_secret, bound_to=totp_bound_to(NOBODYS_ID))
        last = known.totp.last_step if known.totp else None
        step = totp.fitting_step(totp.secret_text(raw), code, now_wall_ns=self._shared.wall_ns(), last_step=last)
        recovery = secret_text.recovery_hash(code)
        with self._shared.store.reading() as tx:
            spare = tx.get(RecoveryCode, recovery)
        owner = known.person.person_id if known.person else NOBODYS_ID
        is_spare = spare is not None and spare.person_id == owner and spare.used_wall_ns is None
        if not verdict.fits or known.password is None or (step is None and not is_spare):
            return None
        return Fit(known.password.phc, verdict.is_outdated, step, recovery)

    def spend(self, tx: Tx, person: Person, fit: Fit, *, rehashed: str = "") -> None:
        """Use up what fitted; each code counts once, also of two requests at the same time.

        Raises
        ------
        SignInRefused
            Somebody was faster, or the password was changed meanwhile.
        """
        now, known = self._shared.wall_ns(), self.known(tx, tx.get(Person, person.person_id))
        if known.person is None or known.password is None or known.totp is None or known.password.phc != fit.phc:
            raise sign_in_refused()
        if fit.step is not None:
            if known.totp.last_step is not None and fit.step <= known.totp.last_step:
                raise sign_in_refused()
            tx.put(msgspec.structs.replace(known.totp, last_step=fit.step))
        else:
            spare = tx.get(RecoveryCode, fit.recovery_hash)
            if spare is None or spare.used_wall_ns is not None:
                raise sign_in_refused()
            tx.put(msgspec.structs.replace(spare, used_wall_ns=now))
        if rehashed:
            tx.put(msgspec.structs.replace(known.password, phc=rehashed))

    def rehashed(self, fit: Fit, password: str) -> str:
        """The password's hash with today's parameters, empty where it has them."""
        return self._shared.passwords.hash(password) if fit.is_outdated else ""


def known_key(row: Passkey) -> KnownKey:
    """A passkey's row as its verifier wants it."""
    return KnownKey(row.credential_id, row.public_key, row.sign_count, row.transports)


def totp_bound_to(person_id: str) -> str:
    """What a person's sealed TOTP secret is for."""
    return f"totp|{person_id}"
