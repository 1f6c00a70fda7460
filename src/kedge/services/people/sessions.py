"""Sessions: who is signed in, where, and since when.

Rules: the cookie is 32 random bytes, kept as a hash; every sign-in and every step-up gives a new one, and the old one is worth nothing
from then on. A session ends after 30 minutes of silence, 12 hours in any case, or when somebody ends it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from kedge.domain.errors import NotFound, NotSignedIn
from kedge.domain.people import Actor
from kedge.governance.roles import Action
from kedge.ops.identity import secret_text
from kedge.services.people.answers import Client, SignedIn
from kedge.services.people.shared import NS, Doing, Shared, agent_of, as_actor, person_of
from kedge.storage.people_rows import Person, Session
from kedge.storage.people_store import Tx

IDLE_S: Final = 30 * 60
ABSOLUTE_S: Final = 12 * 3600
SEEN_EVERY_S: Final = 60
"""How exactly the last use is kept: a write for every request would be too many."""
SESSIONS_MAX: Final = 20
"""Of one person; one more ends the oldest."""
COOKIE_CHARS: Final = 64


class Sessions:
    """The sessions of everybody."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def identify(self, cookie: str) -> Actor | None:
        """Who holds this cookie; None where it is worth nothing (any more)."""
        now = self._shared.wall_ns()
        with self._shared.store.reading() as tx:
            session = self._valid(tx, cookie, now)
            person = tx.get(Person, session.person_id) if session else None
        if session is None or person is None or person.state != "active":
            return None
        if now - session.seen_wall_ns >= SEEN_EVERY_S * NS:
            self._seen(session, now)
        return as_actor(person, ref=session.session_id, step_up_wall_ns=session.step_up_wall_ns)

    def current(self, cookie: str) -> Session | None:
        """The session of a cookie; None where it is worth nothing (any more)."""
        with self._shared.store.reading() as tx:
            return self._valid(tx, cookie, self._shared.wall_ns())

    def is_live(self, session_id: str) -> bool:
        """Whether a session goes on, told by its public id: for whoever holds a connection open in its name."""
        now = self._shared.wall_ns()
        with self._shared.store.reading() as tx:
            return any(_lasts(row, now) for row in tx.find(Session, session_id=session_id))

    def of(self, actor: Actor) -> list[Session]:
        """The actor's sessions that go on, newest first."""
        now = self._shared.wall_ns()
        with self._shared.store.reading() as tx:
            return [row for row in reversed(tx.find(Session, person_id=actor.person_id)) if _lasts(row, now)]

    def sign_out(self, actor: Actor, client: Client) -> None:
        """End the session that asks."""
        with self._shared.doing(actor, Action.SIGN_OUT, client, actor.ref) as doing:
            for row in doing.tx.find(Session, session_id=actor.ref):
                doing.tx.delete(Session, row.session_hash)
            self._shared.done(doing, Action.SIGN_OUT, actor.ref, client)

    def end(self, actor: Actor, session_id: str, client: Client) -> None:
        """End one of the actor's sessions.

        Raises
        ------
        NotFound
            It is none of theirs.
        """
        with self._shared.doing(actor, Action.SESSION_REVOKE, client, session_id) as doing:
            rows = [row for row in doing.tx.find(Session, session_id=session_id) if row.person_id == actor.person_id]
            if not rows:
                raise NotFound(f"no session {session_id[:40]!r}", why="it ended, or is somebody else's", fix="list your sessions")
            doing.tx.delete(Session, rows[0].session_hash)
            self._shared.done(doing, Action.SESSION_REVOKE, session_id, client)

    def begin(self, tx: Tx, person: Person, method: str, client: Client) -> SignedIn:
        """A new session, in place of the one whose cookie the browser still has. The caller puts the act."""
        now, cookie = self._shared.wall_ns(), secret_text.new_secret(self._shared.random_bytes)
        if client.cookie:
            tx.delete(Session, secret_text.hash_of(client.cookie))
        for row in self._surplus(tx, person.person_id):
            tx.delete(Session, row.session_hash)
        session = Session(
            session_hash=secret_text.hash_of(cookie),
            session_id=self._shared.new_id("s"),
            person_id=person.person_id,
            made_wall_ns=now,
            seen_wall_ns=now,
            expires_wall_ns=now + ABSOLUTE_S * NS,
            method=method,
            agent=agent_of(client),
            address=client.address,
            csrf=secret_text.new_secret(self._shared.random_bytes),
            step_up_wall_ns=now,
        )
        tx.add(session)
        return self._answer(cookie, session, person, client)

    def renew(self, doing: Doing, client: Client, *, method: str = "") -> SignedIn:
        """A new cookie for the session that asks; with `method`, because its person just proved who they are.

        Raises
        ------
        NotSignedIn
            The session ended meanwhile.
        """
        row = self.asking(doing.tx, doing.actor, client)
        person = person_of(doing.tx, row.person_id)
        cookie = secret_text.new_secret(self._shared.random_bytes)
        doing.tx.delete(Session, row.session_hash)
        renewed = msgspec.structs.replace(
            row,
            session_hash=secret_text.hash_of(cookie),
            seen_wall_ns=doing.now_wall_ns,
            method=method or row.method,
            step_up_wall_ns=doing.now_wall_ns if method else row.step_up_wall_ns,
        )
        doing.tx.add(renewed)
        return self._answer(cookie, renewed, person, client)

    def asking(self, tx: Tx, actor: Actor, client: Client) -> Session:
        """The row of the session that asks; the cookie and the actor must agree.

        Raises
        ------
        NotSignedIn
            There is none (any more).
        """
        row = self._valid(tx, client.cookie, self._shared.wall_ns())
        if row is None or row.session_id != actor.ref or row.person_id != actor.person_id:
            raise NotSignedIn("this session ended", why="it was ended or renewed meanwhile", fix="load the page again, sign in where asked")
        return row

    def end_all(self, tx: Tx, person_id: str, *, but: str = "") -> int:
        """End a person's sessions, all but the one with this public id; how many ended."""
        rows = [row for row in tx.find(Session, person_id=person_id) if row.session_id != but]
        for row in rows:
            tx.delete(Session, row.session_hash)
        return len(rows)

    def device_nonce(self, cookie: str, person_id: str) -> str:
        """The number of a device that this person once signed in from; empty where the cookie is none of ours, or another person's."""
        owner, _, rest = cookie.partition(".")
        nonce, _, code = rest.partition(".")
        told = self._shared.sealer.is_mac(f"device|{owner}|{nonce}", code)
        return nonce if told and owner == person_id else ""

    def _device(self, person_id: str, client: Client) -> str:
        nonce = self.device_nonce(client.device, person_id) or self._shared.random_bytes(16).hex()
        return f"{person_id}.{nonce}.{self._shared.sealer.mac(f'device|{person_id}|{nonce}')}"

    def _answer(self, cookie: str, session: Session, person: Person, client: Client) -> SignedIn:
        actor = as_actor(person, ref=session.session_id, step_up_wall_ns=session.step_up_wall_ns)
        return SignedIn(cookie, self._device(person.person_id, client), session, person, actor)

    def _valid(self, tx: Tx, cookie: str, now: int) -> Session | None:
        if len(cookie) != COOKIE_CHARS:
            return None
        row = tx.get(Session, secret_text.hash_of(cookie))
        return row if row is not None and _lasts(row, now) else None

    def _seen(self, session: Session, now: int) -> None:
        with self._shared.store.writing() as tx:
            row = tx.get(Session, session.session_hash)
            if row is not None and row.seen_wall_ns < now:
                tx.put(msgspec.structs.replace(row, seen_wall_ns=now))

    def _surplus(self, tx: Tx, person_id: str) -> list[Session]:
        rows = tx.find(Session, person_id=person_id)
        return rows[: max(0, len(rows) - SESSIONS_MAX + 1)]


def _lasts(row: Session, now: int) -> bool:
    """One from the future is over, too: the clock was set back, and nobody knows how long it would last."""
    return now < row.expires_wall_ns and abs(now - row.seen_wall_ns) < IDLE_S * NS
