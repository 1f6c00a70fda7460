"""Setting an account up by its link: with a passkey, or with a password and an authenticator app.

Rules: nothing exists until a factor was proven; the link is used up by that same transaction. Whoever recovers an account begins with new
factors alone, and without the roles that take a second person's word, since the admin who made the link could be using it. Links that
were made at the machine keep the roles: who may read its files could take any.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kedge.domain.errors import InvalidInput
from kedge.domain.people import Role
from kedge.governance.roles import FIRST_ROLES, GUARDED_ROLES, Action, with_implied
from kedge.ops.identity import passkeys, secret_text, totp
from kedge.ops.identity.passwords import check_password
from kedge.services.people.answers import Client, PasskeyOptions, SetUp, SignedIn, TotpOffer
from kedge.services.people.factors import Factors, offer_of
from kedge.services.people.links import Links
from kedge.services.people.names import checked_display_name, checked_name
from kedge.services.people.proofs import PASSKEY, PASSWORD_TOTP, Pending, Proofs, totp_bound_to
from kedge.services.people.sessions import Sessions
from kedge.services.people.shared import Doing, Shared, label_of
from kedge.services.people.tokens import Tokens
from kedge.storage.people_rows import Challenge, Link, LinkPurpose, Password, Person, Totp
from kedge.storage.people_store import Tx

ASK_PASSKEY: Final = "setup-passkey"
ASK_TOTP: Final = "setup-totp"
TICKET_S: Final = 15 * 60
"""For finding the phone, and the app on it."""


class SetUps:
    """Makes accounts of links."""

    def __init__(self, shared: Shared, proofs: Proofs, sessions: Sessions, tokens: Tokens, links: Links, factors: Factors) -> None:
        self._shared, self._proofs, self._sessions, self._tokens = shared, proofs, sessions, tokens
        self._links, self._factors = links, factors

    def look(self, link_secret: str) -> Person | None:
        """Whom a link is for, None for the first person.

        Raises
        ------
        LinkRefused
        """
        with self._shared.store.reading() as tx:
            return self._links.open(tx, secret_text.hash_of(link_secret))[1]

    def passkey_options(self, link_secret: str, name: str, display_name: str, client: Client) -> PasskeyOptions:
        """What the browser needs to make the first passkey. The name counts for the first person; whoever was invited has one."""
        person_id, pending = self._pending(link_secret, name, display_name)
        question = self._proofs.ask(ASK_PASSKEY, person_id=person_id, pending=pending)
        options = passkeys.creation_options(
            self._shared.party, challenge=question.value, user_id=person_id, name=pending.name, display_name=pending.display_name
        )
        return PasskeyOptions(question.challenge_id, options)

    def with_passkey(self, challenge_id: str, credential: dict[str, Any], label: str, client: Client) -> SignedIn:
        """The account, with its first passkey, signed in.

        Raises
        ------
        LinkRefused
            The question or the link is no longer good.
        InvalidInput
            What the browser sent proves nothing.
        """
        told = label_of(label, "passkey")
        row, pending = self._proofs.take(challenge_id, ASK_PASSKEY)
        key = self._proofs.new_passkey(credential, bytes.fromhex(pending.value), person_id=_owner(row), label=told)
        with self._shared.writing() as tx:
            person, link = self._activate(tx, _owner(row), pending)
            tx.add(key)
            return self._signed_in(tx, person, link, PASSKEY, client)

    def password(self, link_secret: str, name: str, display_name: str, password: str, client: Client) -> TotpOffer:
        """Accept a password, and offer the secret of an authenticator app; both are in force when a code was given.

        Raises
        ------
        LinkRefused
        InvalidInput
            The password is too easily guessed, or the name cannot be had.
        """
        person_id, pending = self._pending(link_secret, name, display_name)
        check_password(password, name=pending.name, display_name=pending.display_name)
        secret = self._shared.random_bytes(totp.SECRET_BYTES)
        ticket = secret_text.new_secret(self._shared.random_bytes)
        kept = msgspec.structs.replace(
            pending, phc=self._shared.passwords.hash(password), sealed=self._shared.sealer.seal(secret, bound_to=totp_bound_to(person_id))
        )
        self._proofs.ask(ASK_TOTP, person_id=person_id, pending=kept, challenge_id=secret_text.hash_of(ticket), ttl_s=TICKET_S)
        return offer_of(secret, pending.name, ticket)

    def with_totp(self, ticket: str, code: str, client: Client) -> SetUp:
        """The account, with password, authenticator app and recovery codes, signed in.

        Raises
        ------
        LinkRefused
            The ticket or the link is no longer good.
        InvalidInput
            The code does not fit; the ticket stays good.
        """
        name = secret_text.hash_of(ticket)
        with self._shared.writing() as tx:
            row, pending = self._proofs.look(tx, name, ASK_TOTP)
            step = self._factors.first_step(pending.sealed, _owner(row), code)
            tx.delete(Challenge, name)
            person, link = self._activate(tx, _owner(row), pending)
            tx.put(Password(person_id=person.person_id, phc=pending.phc, made_wall_ns=self._shared.wall_ns()))
            tx.put(Totp(person_id=person.person_id, sealed=pending.sealed, confirmed=True, last_step=step))
            codes = self._factors.write_recovery_codes(tx, person.person_id)
            return SetUp(self._signed_in(tx, person, link, PASSWORD_TOTP, client), codes)

    def _pending(self, link_secret: str, name: str, display_name: str) -> tuple[str, Pending]:
        link_hash = secret_text.hash_of(link_secret)
        with self._shared.store.reading() as tx:
            _, person = self._links.open(tx, link_hash)
        if person is None:
            told = checked_name(name)
            return self._shared.new_id("p"), Pending(link_hash=link_hash, name=told, display_name=checked_display_name(display_name, told))
        shown = checked_display_name(display_name, person.display_name)
        return person.person_id, Pending(link_hash=link_hash, name=person.name, display_name=shown)

    def _activate(self, tx: Tx, person_id: str, pending: Pending) -> tuple[Person, Link]:
        link, person = self._links.open(tx, pending.link_hash)
        now = self._shared.wall_ns()
        if person is None:
            new = Person(
                person_id=person_id,
                name=pending.name,
                display_name=pending.display_name,
                roles=with_implied(FIRST_ROLES),
                state="active",
                version=1,
                made_wall_ns=now,
            )
        elif person.person_id != person_id:
            raise InvalidInput("this link is another person's", why="the question was asked for somebody else", fix="open the link again")
        else:
            if link.purpose in ("recover", "restore"):
                self._begin_anew(tx, person)
            new = msgspec.structs.replace(
                person,
                display_name=pending.display_name,
                state="active",
                version=person.version + 1,
                roles=_kept_roles(tx, person, link.purpose),
            )
        tx.put(new)
        self._links.use(tx, link)
        return new, link

    def _begin_anew(self, tx: Tx, person: Person) -> None:
        self._sessions.end_all(tx, person.person_id)
        self._tokens.end_all(tx, person.person_id)
        self._factors.drop_all(tx, person.person_id)
        self._links.drop_made_by(tx, person)

    def _signed_in(self, tx: Tx, person: Person, link: Link, method: str, client: Client) -> SignedIn:
        signed_in = self._sessions.begin(tx, person, method, client)
        doing = Doing(tx, signed_in.actor, self._shared.wall_ns())
        self._shared.done(doing, Action.SETUP, person.person_id, client, method=method, link=link.purpose, roles=" ".join(person.roles))
        return signed_in


def _kept_roles(tx: Tx, person: Person, purpose: LinkPurpose) -> tuple[Role, ...]:
    """What a person holds after a link: of an admin's link the guarded roles only where nobody else could give them back."""
    if purpose == "restore":
        return person.roles
    others = [one for one in tx.find(Person, state="active") if one.person_id != person.person_id and Role.ADMIN in one.roles]
    gives_back = bool(others) or purpose == "invite"
    return tuple(role for role in person.roles if role not in GUARDED_ROLES) if gives_back else person.roles


def _owner(row: Challenge) -> str:
    return row.person_id or ""
