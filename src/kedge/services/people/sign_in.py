"""Signing in, and proving one's identity again before a dangerous act (step-up).

Rules: one request with name, password and code, and one answer to whatever was wrong; a passkey is both factors at once. A step-up may bind
32 bytes: then the passkey signs exactly these, and its signature is evidence.
"""

from __future__ import annotations

from typing import Any, Final

from kedge.domain.errors import InvalidInput, KedgeError
from kedge.domain.people import Actor
from kedge.governance.roles import Action
from kedge.ops.identity import passkeys, secret_text
from kedge.ops.identity.passkeys import CHALLENGE_BYTES
from kedge.services.people.answers import Client, PasskeyEvidence, PasskeyOptions, SignedIn, StepUp
from kedge.services.people.errors import SignInRefused, sign_in_refused
from kedge.services.people.names import NAME, NOBODYS_NAME
from kedge.services.people.proofs import PASSKEY, Fit, Pending, Proofs, known_key
from kedge.services.people.sessions import Sessions
from kedge.services.people.shared import Doing, Shared
from kedge.services.people.throttle import Bucket, Throttle
from kedge.storage.people_rows import Passkey, Person
from kedge.storage.people_store import Tx

ASK_SIGN_IN: Final = "sign-in"
ASK_STEP_UP: Final = "step-up"
STEP_UP_FREE: Final = 2
"""Slips in a step-up before it waits: the person is signed in, and only the session's thief would guess."""


class SignIn:
    """Begins sessions."""

    def __init__(self, shared: Shared, proofs: Proofs, sessions: Sessions, throttle: Throttle) -> None:
        self._shared, self._proofs, self._sessions, self._throttle = shared, proofs, sessions, throttle

    def options(self, client: Client) -> PasskeyOptions:
        """What the browser asks its passkeys; it names nobody, so it tells nothing about who exists."""
        question = self._proofs.ask(ASK_SIGN_IN)
        return PasskeyOptions(question.challenge_id, passkeys.request_options(self._shared.party, challenge=question.value))

    def by_passkey(self, challenge_id: str, credential: dict[str, Any], client: Client) -> SignedIn:
        """A session for whoever's passkey answered.

        Raises
        ------
        LinkRefused
            The question is unknown, used or too old.
        SignInRefused
        """
        _, pending = self._proofs.take(challenge_id, ASK_SIGN_IN)
        try:
            with self._shared.writing() as tx:
                person, _ = self._proofs.passkey(tx, credential, bytes.fromhex(pending.value))
                return self._begin(tx, person, PASSKEY, client)
        except SignInRefused as error:
            self._tell(self._owner(credential), client, error)
            raise

    def by_password(self, name: str, password: str, code: str, client: Client) -> SignedIn:
        """A session for whoever knows the password and has the code, or one of the recovery codes.

        Raises
        ------
        TooMany
            After failures; see `throttle`.
        SignInRefused
            Whatever was wrong.
        """
        with self._shared.store.reading() as tx:
            named = next(iter(tx.find(Person, name=name if NAME.fullmatch(name) else NOBODYS_NAME)), None)
            known = self._proofs.known(tx, named)
        device = self._sessions.device_nonce(client.device, named.person_id if named else "")
        buckets = self._throttle.of_name(name, client.address, device)
        fit = self._throttle.counted(buckets, lambda: self._proofs.compare(known, password, code))
        try:
            if fit is None or known.person is None:
                raise sign_in_refused()
            return self._spend(known.person, fit, self._proofs.rehashed(fit, password), buckets, client)
        except SignInRefused as error:
            self._tell(named, client, error, self._throttle.name_told(name))
            raise

    def _spend(self, person: Person, fit: Fit, rehashed: str, buckets: tuple[Bucket, ...], client: Client) -> SignedIn:
        with self._shared.writing() as tx:
            self._proofs.spend(tx, person, fit, rehashed=rehashed)
            self._throttle.forgive(tx, buckets)
            return self._begin(tx, person, fit.method, client)

    def _begin(self, tx: Tx, person: Person, method: str, client: Client) -> SignedIn:
        signed_in = self._sessions.begin(tx, person, method, client)
        doing = Doing(tx, signed_in.actor, self._shared.wall_ns())
        self._shared.done(doing, Action.SIGN_IN, person.person_id, client, method=method)
        return signed_in

    def _owner(self, credential: dict[str, Any]) -> Person | None:
        with self._shared.store.reading() as tx:
            row = tx.get(Passkey, passkeys.credential_id_of(credential))
            return tx.get(Person, row.person_id) if row else None

    def _tell(self, person: Person | None, client: Client, error: KedgeError, tried: str = "") -> None:
        """A failed sign-in is an act of nobody, and its subject who it would be. An unknown name is not kept: it may be a password."""
        self._shared.refused(None, Action.SIGN_IN, person.person_id if person else "unknown", client, error, tried=tried)


class StepUps:
    """Renews sessions by a fresh proof of identity."""

    def __init__(self, shared: Shared, proofs: Proofs, sessions: Sessions, throttle: Throttle) -> None:
        self._shared, self._proofs, self._sessions, self._throttle = shared, proofs, sessions, throttle

    def options(self, actor: Actor, client: Client, binds: bytes | None = None) -> PasskeyOptions:
        """What the browser asks the actor's passkeys; with `binds`, exactly these 32 bytes are signed."""
        if binds is not None and len(binds) != CHALLENGE_BYTES:
            raise InvalidInput(
                f"binds has {len(binds)} bytes", why=f"a SHA-256 has {CHALLENGE_BYTES}", fix="pass the hash of what is signed"
            )
        with self._shared.doing(actor, Action.STEP_UP, client, actor.person_id) as doing:
            session = self._sessions.asking(doing.tx, actor, client)
            keys = [known_key(row) for row in doing.tx.find(Passkey, person_id=actor.person_id)]
        question = self._proofs.ask(
            ASK_STEP_UP if binds is None else _bound(binds),
            person_id=actor.person_id,
            session_hash=session.session_hash,
            pending=Pending(value=binds.hex() if binds else ""),
        )
        return PasskeyOptions(question.challenge_id, passkeys.request_options(self._shared.party, challenge=question.value, allowed=keys))

    def by_passkey(self, actor: Actor, challenge_id: str, credential: dict[str, Any], client: Client) -> StepUp:
        """Renew the session.

        Raises
        ------
        LinkRefused, SignInRefused
        """
        value = self._taken(actor, challenge_id, ASK_STEP_UP, client)
        with self._shared.doing(actor, Action.STEP_UP, client, actor.person_id) as doing:
            _, evidence = self._proofs.passkey(doing.tx, credential, value, person_id=actor.person_id)
            return StepUp(self._renew(doing, PASSKEY, client), evidence)

    def by_password(self, actor: Actor, password: str, code: str, client: Client) -> StepUp:
        """Renew the session.

        Raises
        ------
        TooMany, SignInRefused
        """
        buckets = (Bucket(f"step-up:{actor.ref}", STEP_UP_FREE),)
        with self._shared.store.reading() as tx:
            self._sessions.asking(tx, actor, client)
            known = self._proofs.known(tx, tx.get(Person, actor.person_id))
        fit = self._throttle.counted(buckets, lambda: self._proofs.compare(known, password, code))
        rehashed = self._proofs.rehashed(fit, password) if fit else ""
        with self._shared.doing(actor, Action.STEP_UP, client, actor.person_id) as doing:
            if fit is None or known.person is None:
                raise sign_in_refused()
            self._proofs.spend(doing.tx, known.person, fit, rehashed=rehashed)
            self._throttle.forgive(doing.tx, buckets)
            return StepUp(self._renew(doing, fit.method, client))

    def evidence(self, actor: Actor, challenge_id: str, credential: dict[str, Any], client: Client, *, binds: bytes) -> PasskeyEvidence:
        """What the actor's passkey signed over these 32 bytes; the session stays as it is.

        Raises
        ------
        LinkRefused
            The question was for other bytes, another session, used or too old.
        SignInRefused
            The passkey proves nothing.
        """
        value = self._taken(actor, challenge_id, _bound(binds), client)
        with self._shared.doing(actor, Action.STEP_UP, client, actor.person_id) as doing:
            _, evidence = self._proofs.passkey(doing.tx, credential, value, person_id=actor.person_id)
            self._shared.done(doing, Action.STEP_UP, actor.person_id, client, method=PASSKEY, binds=binds.hex())
        return evidence

    def _taken(self, actor: Actor, challenge_id: str, purpose: str, client: Client) -> bytes:
        session_hash = secret_text.hash_of(client.cookie)
        _, pending = self._proofs.take(challenge_id, purpose, person_id=actor.person_id, session_hash=session_hash)
        return bytes.fromhex(pending.value)

    def _renew(self, doing: Doing, method: str, client: Client) -> SignedIn:
        signed_in = self._sessions.renew(doing, client, method=method)
        self._shared.done(doing, Action.STEP_UP, doing.actor.person_id, client, method=method)
        return signed_in


def _bound(binds: bytes) -> str:
    """The purpose of a question that binds: an answer for one hash is none for another, nor for a plain step-up."""
    return f"{ASK_STEP_UP}|{binds.hex()}"
