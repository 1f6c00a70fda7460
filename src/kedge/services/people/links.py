"""Set-up links: the one way to an account, for the first person, for whoever was invited, and for whoever lost every factor.

Rules: 256 random bits, kept as a hash, good once and for 24 hours; a newer link of the same person replaces the older one. The secret goes
into the address's fragment, which no browser sends and no log keeps.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kedge.domain.errors import Forbidden
from kedge.domain.people import Actor, Role
from kedge.governance.roles import Action
from kedge.ops.identity import secret_text
from kedge.services.people.answers import Client, Invited
from kedge.services.people.errors import link_refused
from kedge.services.people.shared import NS, Doing, Shared, person_of
from kedge.storage.people_rows import Link, LinkPurpose, Person
from kedge.storage.people_store import Tx

LINK_S: Final = 24 * 3600


class Links:
    """The set-up links of one store."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def first(self) -> str | None:
        """The secret of a new first link, in place of an older one; None once anybody has an account."""
        with self._shared.writing() as tx:
            return None if tx.count(Person) else self.make(tx, "first", None)

    def local(self, actor: Actor, name: str, client: Client) -> Invited:
        """A link for a person by name, for whoever sits at the machine and may read its files anyway: it keeps the person's roles.

        Raises
        ------
        NotFound
            Nobody has this name.
        """
        with self._shared.writing() as tx:
            person = next(iter(tx.find(Person, name=name)), None) or person_of(tx, name)
            invited = Invited(person, self.of_person(tx, person, purpose="restore"))
            self._shared.done(Doing(tx, actor, self._shared.wall_ns()), Action.SETUP_LINK, person.person_id, client)
        return invited

    def of_person(self, tx: Tx, person: Person, *, purpose: LinkPurpose = "recover") -> str:
        """The secret of a new link for a person, in the caller's transaction; the caller puts the act. Who was invited stays invited.

        Raises
        ------
        Forbidden
            The person is disabled.
        """
        if person.state == "disabled":
            raise Forbidden(f"{person.name} is disabled", why="a set-up link would let them in", fix="restore the account first")
        return self.make(tx, "invite" if person.state == "invited" else purpose, person.person_id)

    def make(self, tx: Tx, purpose: LinkPurpose, person_id: str | None) -> str:
        """The secret of a new link, in place of the person's older ones."""
        self.drop(tx, person_id)
        now, secret = self._shared.wall_ns(), secret_text.new_secret(self._shared.random_bytes)
        link_hash = secret_text.hash_of(secret)
        tx.add(Link(link_hash=link_hash, purpose=purpose, made_wall_ns=now, expires_wall_ns=now + LINK_S * NS, person_id=person_id))
        return secret

    def drop(self, tx: Tx, person_id: str | None) -> None:
        """No link of this person opens anything any more."""
        tx.delete_all(Link, person_id=person_id)

    def drop_made_by(self, tx: Tx, person: Person) -> None:
        """Somebody is no admin any more: no link opens anything that they may have made, and kept.

        Who made a link is not known, so all of them go but those of the machine's terminal; an admin makes new ones.
        """
        if Role.ADMIN in person.roles:
            for purpose in ("invite", "recover"):
                tx.delete_all(Link, purpose=purpose)

    def open(self, tx: Tx, link_hash: str) -> tuple[Link, Person | None]:
        """The link with this hash and whose it is, if it still opens anything.

        Raises
        ------
        LinkRefused
        """
        link = tx.get(Link, link_hash)
        if link is None or link.used_wall_ns is not None or self._shared.wall_ns() >= link.expires_wall_ns:
            raise link_refused()
        if link.purpose == "first":
            if tx.count(Person):
                raise link_refused()
            return link, None
        person = tx.get(Person, link.person_id or "")
        wanted = "invited" if link.purpose == "invite" else "active"
        if person is None or person.state != wanted:
            raise link_refused()
        return link, person

    def use(self, tx: Tx, link: Link) -> None:
        """The link opened something: it never does again, nor does another one of the same person."""
        tx.delete_all(Link, person_id=link.person_id)
        tx.put(msgspec.structs.replace(link, used_wall_ns=self._shared.wall_ns()))
