"""People: who has an account, in which roles, and whether it is active.

Rules: nobody is ever deleted, since acts name them; the last active admin stays one; roles that exclude each other are never in one person;
risk, admin and auditor are given by approval alone. Whose roles change or who is disabled is signed out at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from kedge.domain.errors import Changed, Conflict, InvalidInput
from kedge.domain.people import Actor, Role
from kedge.governance.roles import Action, gains_guarded, require_compatible, with_implied
from kedge.services.people.answers import Client, Invited
from kedge.services.people.errors import ApprovalRequired
from kedge.services.people.links import Links
from kedge.services.people.names import checked_display_name, checked_name
from kedge.services.people.sessions import Sessions
from kedge.services.people.shared import Doing, Shared, person_of
from kedge.services.people.tokens import Tokens
from kedge.storage.people_rows import Passkey, Password, Person
from kedge.storage.people_store import Tx


class Accounts:
    """Everybody who has or had an account."""

    def __init__(self, shared: Shared, sessions: Sessions, tokens: Tokens, links: Links) -> None:
        self._shared, self._sessions, self._tokens, self._links = shared, sessions, tokens, links

    def people(self) -> list[Person]:
        """Everybody, oldest first."""
        with self._shared.store.reading() as tx:
            return tx.find(Person)

    def person(self, person_id: str) -> Person:
        """One person.

        Raises
        ------
        NotFound
        """
        with self._shared.store.reading() as tx:
            return person_of(tx, person_id)

    def named(self, name: str) -> Person | None:
        """Who has this name, however it is written; None where nobody has."""
        with self._shared.store.reading() as tx:
            return next(iter(tx.find(Person, name=name)), None)

    def edit_me(self, actor: Actor, client: Client, *, version: int, display_name: str) -> Person:
        """Change how the actor is shown.

        Raises
        ------
        Changed
            Somebody changed the account since.
        """
        with self._shared.doing(actor, Action.ACCOUNT_EDIT, client, actor.person_id) as doing:
            person = _unchanged(person_of(doing.tx, actor.person_id), version)
            shown = checked_display_name(display_name, person.name)
            if shown == person.display_name:
                return person
            self._shared.done(doing, Action.ACCOUNT_EDIT, person.person_id, client, display_name=shown)
            return _put(doing.tx, person, display_name=shown)

    def invite(self, actor: Actor, client: Client, *, name: str, display_name: str, roles: Sequence[Role]) -> Invited:
        """A new person, who sets the account up by the link; its secret is never shown again.

        Raises
        ------
        Conflict
            The name is taken.
        RolesExclude, ApprovalRequired
            These roles exclude each other, or take a second person.
        """
        told, held = checked_name(name), with_implied(roles or (Role.VIEWER,))
        shown = checked_display_name(display_name, told)
        with self._shared.doing(actor, Action.PEOPLE_MANAGE, client, told) as doing:
            require_compatible(held, told)
            _refuse_guarded(told, (), held)
            person = Person(
                person_id=self._shared.new_id("p"),
                name=told,
                display_name=shown,
                roles=held,
                state="invited",
                version=1,
                made_wall_ns=doing.now_wall_ns,
            )
            doing.tx.add(person)
            secret = self._links.of_person(doing.tx, person)
            self._shared.done(doing, Action.PEOPLE_MANAGE, person.person_id, client, change="invited", name=told, roles=" ".join(held))
        return Invited(person, secret)

    def setup_link(self, actor: Actor, person_id: str, client: Client) -> Invited:
        """A new set-up link for a person: once more for who was invited; for who is active, to begin anew with other factors.

        Raises
        ------
        NotFound
            There is no such person.
        Forbidden
            They are disabled.
        """
        with self._shared.doing(actor, Action.SETUP_LINK, client, person_id) as doing:
            person = person_of(doing.tx, person_id)
            invited = Invited(person, self._links.of_person(doing.tx, person))
            self._shared.done(doing, Action.SETUP_LINK, person_id, client, state=person.state)
        return invited

    def edit(
        self,
        actor: Actor,
        person_id: str,
        client: Client,
        *,
        version: int,
        roles: Sequence[Role] | None = None,
        disabled: bool | None = None,
        display_name: str | None = None,
    ) -> Person:
        """Change a person: what is None stays. Each kind of change is an act of its own; all or none happen.

        Raises
        ------
        Changed
            Somebody changed the person since.
        Conflict
            It would leave no active admin.
        RolesExclude, ApprovalRequired
            The roles exclude each other, or take a second person.
        """
        first = Action.ROLES_GRANT if roles is not None else Action.PEOPLE_MANAGE
        with self._shared.doing(actor, first, client, person_id) as doing:
            person = _unchanged(person_of(doing.tx, person_id), version)
            if roles is not None and with_implied(roles) != person.roles:
                person = self._change_roles(doing, person, with_implied(roles), client)
            if disabled is not None and disabled != (person.state == "disabled"):
                person = self._turn(doing, person, disabled, client)
            if display_name is not None and (shown := checked_display_name(display_name, person.name)) != person.display_name:
                self._shared.done(doing, Action.PEOPLE_MANAGE, person_id, client, change="display name", display_name=shown)
                person = _put(doing.tx, person, display_name=shown)
            return person

    def grantee(self, tx: Tx, person_id: str, *, asked_wall_ns: int) -> Person:
        """Whom roles may be granted that were asked for then: somebody whose account is, and was then, in their own hands.

        Raises
        ------
        NotFound
            There is no such person.
        Conflict
            They never set their account up, are disabled, or began anew by a link since it was asked for: the link may be in other hands.
        """
        person = person_of(tx, person_id)
        if person.state != "active":
            raise Conflict(
                f"{person.name} is {person.state}",
                why="a role goes to somebody who has set the account up and may sign in",
                fix="have them open their set-up link first" if person.state == "invited" else "restore the account first",
            )
        password = tx.get(Password, person_id)
        made = [key.made_wall_ns for key in tx.find(Passkey, person_id=person_id)] + ([password.made_wall_ns] if password else [])
        if min(made, default=asked_wall_ns + 1) > asked_wall_ns:
            raise Conflict(
                f"{person.name} proves who they are with nothing that is as old as the request",
                why="the account may have come into other hands since",
                fix="ask that it is theirs, then ask for the approval anew",
            )
        return person

    def grant(self, tx: Tx, person: Person, roles: Sequence[Role], version: int | None = None) -> Person:
        """Give a `grantee` these roles, guarded ones too, in the caller's transaction: for who carries out an approval, and puts its act.

        Raises
        ------
        Changed, Conflict, RolesExclude
            As of `edit`.
        """
        if version is not None:
            _unchanged(person, version)
        return self._give(tx, person, with_implied(roles))

    def _change_roles(self, doing: Doing, person: Person, roles: tuple[Role, ...], client: Client) -> Person:
        if not roles:
            raise InvalidInput("roles is empty", why="a person without a role could do nothing", fix="give viewer, or disable the person")
        require_compatible(roles, person.name)
        _refuse_guarded(person.name, person.roles, roles)
        changed = self._give(doing.tx, person, roles)
        self._shared.done(
            doing, Action.ROLES_GRANT, person.person_id, client, before=" ".join(person.roles), after=" ".join(roles), name=person.name
        )
        return changed

    def _give(self, tx: Tx, person: Person, roles: tuple[Role, ...]) -> Person:
        require_compatible(roles, person.name)
        if Role.ADMIN not in roles:
            _refuse_last_admin(tx, person)
            self._links.drop_made_by(tx, person)
        self._sessions.end_all(tx, person.person_id)
        return _put(tx, person, roles=roles)

    def _turn(self, doing: Doing, person: Person, disabled: bool, client: Client) -> Person:
        if disabled:
            _refuse_last_admin(doing.tx, person)
            self._sessions.end_all(doing.tx, person.person_id)
            self._tokens.end_all(doing.tx, person.person_id)
            self._links.drop(doing.tx, person.person_id)
            self._links.drop_made_by(doing.tx, person)
            changed = _put(doing.tx, person, state="disabled")
        else:
            has_factor = doing.tx.count(Passkey, person_id=person.person_id) or doing.tx.get(Password, person.person_id)
            changed = _put(doing.tx, person, state="active" if has_factor else "invited")
        self._shared.done(
            doing, Action.PEOPLE_MANAGE, person.person_id, client, change="disabled" if disabled else "restored", name=person.name
        )
        return changed


def _unchanged(person: Person, version: int) -> Person:
    if person.version != version:
        raise Changed(
            f"{person.name} is at version {person.version}, not {version}", why="somebody changed it meanwhile", fix="read it again"
        )
    return person


def _put(tx: Tx, person: Person, **changes: object) -> Person:
    changed = msgspec.structs.replace(person, version=person.version + 1, **changes)
    tx.put(changed)
    return changed


def _refuse_guarded(name: str, before: Sequence[Role], after: Sequence[Role]) -> None:
    if gained := gains_guarded(before, after):
        raise ApprovalRequired(
            f"{name} cannot be made {', '.join(gained)} by one person",
            why="these roles hold the second key, so a second person agrees to them",
            fix=f"ask for it: kedge approval request role-grant for {name}",
        )


def _refuse_last_admin(tx: Tx, person: Person) -> None:
    if person.state != "active" or Role.ADMIN not in person.roles:
        return
    if not any(Role.ADMIN in one.roles for one in tx.find(Person, state="active") if one.person_id != person.person_id):
        raise Conflict(
            f"{person.name} is the last active admin", why="without one nobody could manage people", fix="make somebody else admin first"
        )
