"""What a person proves who they are with: passkeys, a password with an authenticator app, recovery codes.

Rules: every change takes a fresh proof of identity and ends the person's other sessions; the last way in is never removed.
"""

from __future__ import annotations

from typing import Any, Final

from kedge.domain.errors import Conflict, InvalidInput, NotFound
from kedge.domain.people import Actor
from kedge.governance.roles import Action
from kedge.ops.identity import passkeys, secret_text, totp
from kedge.ops.identity.passwords import check_password
from kedge.services.people import answers
from kedge.services.people.answers import Client, PasskeyOptions, SetUp, SignedIn, TotpOffer
from kedge.services.people.proofs import Pending, Proofs, known_key, totp_bound_to
from kedge.services.people.sessions import Sessions
from kedge.services.people.shared import Shared, label_of, person_of
from kedge.storage.people_rows import Challenge, Passkey, Password, RecoveryCode, Totp
from kedge.storage.people_store import Tx

ASK_PASSKEY: Final = "new-passkey"
ASK_TOTP: Final = "new-totp"
TICKET_S: Final = 15 * 60
PASSKEYS_MAX: Final = 20
RECOVERY_CODES: Final = 10


class Factors:
    """The factors of everybody."""

    def __init__(self, shared: Shared, proofs: Proofs, sessions: Sessions) -> None:
        self._shared, self._proofs, self._sessions = shared, proofs, sessions

    def of(self, person_id: str) -> answers.Factors:
        """What a person has."""
        with self._shared.store.reading() as tx:
            return self._of(tx, person_id)

    def passkeys(self, actor: Actor) -> list[Passkey]:
        """The actor's passkeys, newest first."""
        with self._shared.store.reading() as tx:
            return list(reversed(tx.find(Passkey, person_id=actor.person_id)))

    def passkey_options(self, actor: Actor, client: Client) -> PasskeyOptions:
        """What the browser needs to make one more passkey; those that are there are told, so that none is made twice."""
        with self._shared.doing(actor, Action.FACTORS_EDIT, client, actor.person_id) as doing:
            session = self._sessions.asking(doing.tx, actor, client)
            person = person_of(doing.tx, actor.person_id)
            existing = [known_key(row) for row in doing.tx.find(Passkey, person_id=actor.person_id)]
        question = self._proofs.ask(ASK_PASSKEY, person_id=actor.person_id, session_hash=session.session_hash)
        options = passkeys.creation_options(
            self._shared.party,
            challenge=question.value,
            user_id=person.person_id,
            name=person.name,
            display_name=person.display_name,
            existing=existing,
        )
        return PasskeyOptions(question.challenge_id, options)

    def add_passkey(self, actor: Actor, challenge_id: str, credential: dict[str, Any], label: str, client: Client) -> Passkey:
        """One more passkey.

        Raises
        ------
        LinkRefused
            The question was for another session, used or too old.
        InvalidInput
            What the browser sent proves nothing, or there are too many.
        """
        told = label_of(label, "passkey")
        session_hash = secret_text.hash_of(client.cookie)
        _, pending = self._proofs.take(challenge_id, ASK_PASSKEY, person_id=actor.person_id, session_hash=session_hash)
        key = self._proofs.new_passkey(credential, bytes.fromhex(pending.value), person_id=actor.person_id, label=told)
        with self._shared.doing(actor, Action.FACTORS_EDIT, client, key.credential_id) as doing:
            if doing.tx.count(Passkey, person_id=actor.person_id) >= PASSKEYS_MAX:
                raise InvalidInput(f"{PASSKEYS_MAX} passkeys are there", why="more could not be kept in view", fix="remove one first")
            doing.tx.add(key)
            self._sessions.end_all(doing.tx, actor.person_id, but=actor.ref)
            self._shared.done(doing, Action.FACTORS_EDIT, key.credential_id, client, change="passkey added", label=told)
        return key

    def remove_passkey(self, actor: Actor, credential_id: str, client: Client) -> None:
        """Remove one of the actor's passkeys.

        Raises
        ------
        NotFound
            It is none of theirs.
        Conflict
            It is the last way in.
        """
        with self._shared.doing(actor, Action.FACTORS_EDIT, client, credential_id) as doing:
            row = doing.tx.get(Passkey, credential_id)
            if row is None or row.person_id != actor.person_id:
                raise NotFound(f"no passkey {credential_id[:40]!r}", why="there is none of yours", fix="list your passkeys")
            left = self._of(doing.tx, actor.person_id)
            if left.passkeys == 1 and not (left.has_password and left.has_totp):
                raise Conflict(
                    "this passkey is the last way in",
                    why="without it nobody could sign in",
                    fix="add another passkey, or a password and app",
                )
            doing.tx.delete(Passkey, credential_id)
            self._sessions.end_all(doing.tx, actor.person_id, but=actor.ref)
            self._shared.done(doing, Action.FACTORS_EDIT, credential_id, client, change="passkey removed", label=row.label)

    def set_password(self, actor: Actor, password: str, client: Client) -> SignedIn:
        """A first or another password; the session is renewed, all others end.

        Raises
        ------
        InvalidInput
            It is too easily guessed.
        """
        with self._shared.store.reading() as tx:
            person = person_of(tx, actor.person_id)
        check_password(password, name=person.name, display_name=person.display_name)
        phc = self._shared.passwords.hash(password)
        with self._shared.doing(actor, Action.FACTORS_EDIT, client, actor.person_id) as doing:
            doing.tx.put(Password(person_id=actor.person_id, phc=phc, made_wall_ns=doing.now_wall_ns))
            self._sessions.end_all(doing.tx, actor.person_id, but=actor.ref)
            self._shared.done(doing, Action.FACTORS_EDIT, actor.person_id, client, change="password set")
            return self._sessions.renew(doing, client)

    def begin_totp(self, actor: Actor, client: Client) -> TotpOffer:
        """Offer the secret of an authenticator app; what was there stays in force until a code of the new one was given."""
        secret = self._shared.random_bytes(totp.SECRET_BYTES)
        ticket = secret_text.new_secret(self._shared.random_bytes)
        with self._shared.doing(actor, Action.FACTORS_EDIT, client, actor.person_id) as doing:
            session = self._sessions.asking(doing.tx, actor, client)
        self._proofs.ask(
            ASK_TOTP,
            person_id=actor.person_id,
            session_hash=session.session_hash,
            pending=Pending(sealed=self._shared.sealer.seal(secret, bound_to=totp_bound_to(actor.person_id))),
            challenge_id=secret_text.hash_of(ticket),
            ttl_s=TICKET_S,
        )
        return offer_of(secret, actor.name, ticket)

    def confirm_totp(self, actor: Actor, ticket: str, code: str, client: Client) -> SetUp:
        """Put the app in force; the session is renewed, all others end. Recovery codes are made where none are left.

        Raises
        ------
        LinkRefused
            The ticket was for another session, used or too old.
        InvalidInput
            The code does not fit; the ticket stays good.
        """
        name = secret_text.hash_of(ticket)
        with self._shared.doing(actor, Action.FACTORS_EDIT, client, actor.person_id) as doing:
            row, pending = self._proofs.look(doing.tx, name, ASK_TOTP, session_hash=secret_text.hash_of(client.cookie))
            step = self.first_step(pending.sealed, row.person_id or "", code)
            doing.tx.delete(Challenge, name)
            doing.tx.put(Totp(person_id=actor.person_id, sealed=pending.sealed, confirmed=True, last_step=step))
            codes: tuple[str, ...] = ()
            if not self._of(doing.tx, actor.person_id).recovery_codes_left:
                codes = self.write_recovery_codes(doing.tx, actor.person_id)
            self._sessions.end_all(doing.tx, actor.person_id, but=actor.ref)
            self._shared.done(doing, Action.FACTORS_EDIT, actor.person_id, client, change="authenticator app set")
            return SetUp(self._sessions.renew(doing, client), codes)

    def new_recovery_codes(self, actor: Actor, client: Client) -> tuple[str, ...]:
        """Ten new codes; the old ones are worth nothing from now on.

        Raises
        ------
        Conflict
            There is no authenticator app that they would stand in for.
        """
        with self._shared.doing(actor, Action.FACTORS_EDIT, client, actor.person_id) as doing:
            if not self._of(doing.tx, actor.person_id).has_totp:
                raise Conflict(
                    "there is no authenticator app",
                    why="a recovery code stands in for its code beside the password",
                    fix="set up a password and app first",
                )
            codes = self.write_recovery_codes(doing.tx, actor.person_id)
            self._shared.done(doing, Action.FACTORS_EDIT, actor.person_id, client, change="recovery codes made anew")
        return codes

    def write_recovery_codes(self, tx: Tx, person_id: str) -> tuple[str, ...]:
        """New codes in place of all old ones, in the caller's transaction."""
        tx.delete_all(RecoveryCode, person_id=person_id)
        codes = tuple(secret_text.new_recovery_code(self._shared.random_bytes) for _ in range(RECOVERY_CODES))
        for code in codes:
            tx.add(RecoveryCode(code_hash=secret_text.recovery_hash(code), person_id=person_id))
        return codes

    def first_step(self, sealed: str, person_id: str, code: str) -> int:
        """The time step of an app's first code.

        Raises
        ------
        InvalidInput
            It is none of its codes.
        """
        raw = self._shared.sealer.open(sealed, bound_to=totp_bound_to(person_id))
        step = totp.fitting_step(totp.secret_text(raw), code, now_wall_ns=self._shared.wall_ns(), last_step=None)
        if step is None:
            raise InvalidInput(
                "the code does not fit",
                why="it is not what the app shows now, or the clocks differ by more than 30 s",
                fix="type the code that the app shows now",
            )
        return step

    def drop_all(self, tx: Tx, person_id: str) -> None:
        """Remove every factor, in the caller's transaction."""
        tx.delete_all(Passkey, person_id=person_id)
        tx.delete_all(RecoveryCode, person_id=person_id)
        tx.delete(Password, person_id)
        tx.delete(Totp, person_id)

    def _of(self, tx: Tx, person_id: str) -> answers.Factors:
        secret = tx.get(Totp, person_id)
        return answers.Factors(
            passkeys=tx.count(Passkey, person_id=person_id),
            has_password=tx.get(Password, person_id) is not None,
            has_totp=secret is not None and secret.confirmed,
            recovery_codes_left=sum(code.used_wall_ns is None for code in tx.find(RecoveryCode, person_id=person_id)),
        )


def offer_of(secret: bytes, name: str, ticket: str) -> TotpOffer:
    """A new secret as people and apps read it."""
    text = totp.secret_text(secret)
    uri = totp.totp_uri(text, name)
    return TotpOffer(uri, text, totp.qr_svg(uri), ticket)
