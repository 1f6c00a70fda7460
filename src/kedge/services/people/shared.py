"""What every part of the desk of people works with: the store, the clock, chance, and how an act is written.

Rules: an act is put into the transaction that it tells of, and stands in the journal of acts before the caller's answer leaves. Refusals
are acts of transactions of their own, counted where they repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from kedge.domain.errors import ApprovalRefused, Forbidden, InvalidInput, KedgeError, NotFound, NotSignedIn
from kedge.domain.people import Act, Actor, Source
from kedge.governance.roles import Action, RolesExclude, require
from kedge.ops.identity.passkeys import Party
from kedge.ops.identity.passwords import Passwords
from kedge.ops.identity.sealing import Sealer
from kedge.services.people.answers import Client
from kedge.services.people.errors import ApprovalForged
from kedge.services.people.refusals import note_refused
from kedge.storage.people_rows import Person, Session, Token
from kedge.storage.people_store import PeopleStore, Tx

NS: Final = 1_000_000_000
ID_BYTES: Final = 10
LABEL_CHARS_MAX: Final = 60
AGENT_CHARS_MAX: Final = 200
REFUSALS: Final = (Forbidden, NotSignedIn, RolesExclude, ApprovalRefused, ApprovalForged)
"""Errors that are told as refused acts; what is merely malformed is not."""
NOBODY: Final = Actor(person_id="", name="", roles=(), source=Source.BROWSER)
"""Who asks before anybody is known."""


class Doing(NamedTuple):
    """An act under way: its transaction, who does it with the roles in force now, and when."""

    tx: Tx
    actor: Actor
    now_wall_ns: int


@dataclass
class Shared:
    """The parts that the desk is made of."""

    store: PeopleStore
    passwords: Passwords
    sealer: Sealer
    flush: Callable[[], None]
    party: Party
    wall_ns: Callable[[], int]
    random_bytes: Callable[[int], bytes]
    _exist: bool = field(default=False, init=False)

    def accounts_exist(self) -> bool:
        """Whether anybody has an account; once true it stays so, since no person is ever deleted."""
        if not self._exist:
            with self.store.reading() as tx:
                self._exist = tx.count(Person) > 0
        return self._exist

    def new_id(self, kind: str) -> str:
        """A public id: `p-` and twenty hex digits, say."""
        return f"{kind}-{self.random_bytes(ID_BYTES).hex()}"

    @contextmanager
    def writing(self) -> Iterator[Tx]:
        """A transaction of the store; its acts are journalled when it ends well."""
        with self.store.writing() as tx:
            yield tx
        self.flush()

    @contextmanager
    def doing(self, actor: Actor | None, action: Action, client: Client, subject: str = "") -> Iterator[Doing]:
        """A transaction for an act that this actor may do with the roles they hold now; a refusal becomes an act, and is raised again."""
        try:
            with self.writing() as tx:
                present = self.present(tx, actor)
                now = self.wall_ns()
                require(present, action, now_wall_ns=now, accounts_exist=tx.count(Person) > 0)
                yield Doing(tx, present or NOBODY, now)
        except REFUSALS as error:
            self.refused(actor, action, subject, client, error)
            raise

    def present(self, tx: Tx, actor: Actor | None) -> Actor | None:
        """The actor with the roles that the store says now.

        Raises
        ------
        NotSignedIn
            The person was disabled, or the session or token ended since.
        """
        if actor is None or actor.source not in (Source.BROWSER, Source.TOKEN):
            return actor
        person = tx.get(Person, actor.person_id)
        if actor.source is Source.BROWSER:
            holds = bool(tx.find(Session, session_id=actor.ref))
        else:
            holds = any(token.revoked_wall_ns is None for token in tx.find(Token, token_id=actor.ref))
        if person is None or person.state != "active" or not holds:
            raise NotSignedIn(
                f"{actor.name} is no longer signed in", why="the account, session or token ended meanwhile", fix="sign in again"
            )
        return msgspec.structs.replace(actor, name=person.name, roles=person.roles)

    def done(self, doing: Doing, action: Action, subject: str, client: Client, *, reason: str = "", **details: str) -> None:
        """Put the act into its transaction."""
        doing.tx.act(self._act(doing.actor, action, subject, client, now_wall_ns=doing.now_wall_ns, reason=reason, details=details))

    def refused(self, actor: Actor | None, action: Action, subject: str, client: Client, error: KedgeError, *, tried: str = "") -> None:
        """Tell of a refusal in a transaction of its own. Nobody known and nothing tried is no act: every stranger's look would be one.

        Parameters
        ----------
        tried : str
            What a stranger gave to be known by, in a form that tells nothing: strangers are counted by it and by where they come from, and
            never by whether it fits somebody, since the first refusal of each costs more than those after it.
        """
        if actor is None and action is not Action.SIGN_IN:
            return
        act = self._act(actor or NOBODY, action, subject, client, now_wall_ns=self.wall_ns(), code=error.code)
        with self.writing() as tx:
            note_refused(tx, act, source=act.person_id or f"{client.address} {tried}".strip())

    def _act(
        self,
        actor: Actor,
        action: Action,
        subject: str,
        client: Client,
        *,
        now_wall_ns: int,
        code: str = "",
        reason: str = "",
        details: dict[str, str] | None = None,
    ) -> Act:
        return Act(
            act_id=self.new_id("act"),
            wall_ns=now_wall_ns,
            person_id=actor.person_id,
            name=actor.name,
            roles=actor.roles,
            source=actor.source,
            ref=actor.ref,
            action=action.value,
            subject=subject,
            outcome="refused" if code else "done",
            code=code,
            reason=reason,
            correlation_id=client.correlation_id,
            details={"address": client.address, **(details or {})},
        )


def as_actor(person: Person, *, ref: str = "", step_up_wall_ns: int | None = None) -> Actor:
    """A person in a browser."""
    return Actor(
        person_id=person.person_id, name=person.name, roles=person.roles, source=Source.BROWSER, ref=ref, step_up_wall_ns=step_up_wall_ns
    )


def person_of(tx: Tx, person_id: str) -> Person:
    """The person with this id.

    Raises
    ------
    NotFound
        There is none.
    """
    person = tx.get(Person, person_id)
    if person is None:
        raise NotFound(f"no person {person_id[:40]!r}", why="the store has none with this id", fix="list the people")
    return person


def label_of(given: str, otherwise: str) -> str:
    """A label that people gave something, or what it is called otherwise.

    Raises
    ------
    InvalidInput
        Too long, or with characters that cannot be seen.
    """
    text = " ".join(given.split())
    if len(text) > LABEL_CHARS_MAX or not text.isprintable():
        raise InvalidInput(f"label {text[:20]!r}...", why=f"at most {LABEL_CHARS_MAX} visible characters", fix="shorten it")
    return text or otherwise


def agent_of(client: Client) -> str:
    """What the browser calls itself, as far as it is worth keeping."""
    return "".join(character for character in client.agent[:AGENT_CHARS_MAX] if character.isprintable())
