"""Signing in a command line by device code (RFC 8628): it shows a code, a person confirms it in the browser, it takes a token.

Rules: the device code is a secret of its own and kept as a hash; the token is made when it is fetched, so that its text is never kept; the
code that people compare lives ten minutes and is used once. Who guesses codes is slowed down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from kedge.domain.errors import Forbidden, InvalidInput, TooMany
from kedge.domain.people import Actor, Scope
from kedge.governance.roles import Action
from kedge.ops.identity import secret_text
from kedge.services.people.answers import Client, DeviceCode, PolledDevice
from kedge.services.people.errors import link_refused
from kedge.services.people.shared import NS, Doing, Shared, as_actor, label_of
from kedge.services.people.throttle import Bucket, Throttle
from kedge.services.people.tokens import Tokens
from kedge.storage.people_rows import Device, Person
from kedge.storage.people_store import Tx

DEVICE_S: Final = 600
INTERVAL_S: Final = 5
PENDING_MAX: Final = 500
"""Codes that wait at once, of everybody. Limits of requests come long before."""
LOOK_FREE: Final = 5
"""Codes that a person may mistype before they wait."""
SLACK_NS: Final = NS
"""So much earlier than asked may a command line come again: its clock and ours are two."""


class Devices:
    """Device codes under way."""

    def __init__(self, shared: Shared, tokens: Tokens, throttle: Throttle) -> None:
        self._shared, self._tokens, self._throttle = shared, tokens, throttle

    def begin(self, label: str, scopes: Sequence[Scope], client: Client) -> DeviceCode:
        """A new pair of codes.

        Raises
        ------
        InvalidInput
            No scope was asked for.
        """
        told = label_of(label, "command line")
        if not scopes:
            raise InvalidInput("scopes is empty", why="a token without scopes could do nothing", fix=f"name some of {', '.join(Scope)}")
        now, device_code = self._shared.wall_ns(), secret_text.new_secret(self._shared.random_bytes)
        row = Device(
            device_hash=secret_text.hash_of(device_code),
            user_code=secret_text.new_user_code(self._shared.random_bytes),
            label=told,
            scopes=tuple(sorted(set(scopes))),
            state="pending",
            made_wall_ns=now,
            expires_wall_ns=now + DEVICE_S * NS,
        )
        with self._shared.store.writing() as tx:
            tx.delete_until(Device, "expires_wall_ns", now)
            if tx.count(Device, state="pending") >= PENDING_MAX:
                raise TooMany("too many sign-ins are under way", retry_after_s=INTERVAL_S, why=f"{PENDING_MAX} device codes wait")
            tx.add(row)
        return DeviceCode(device_code, row.user_code, told, row.scopes, DEVICE_S, INTERVAL_S)

    def look(self, actor: Actor, user_code: str, client: Client) -> Device:
        """What a code would let sign in, for the person who is about to confirm it.

        Raises
        ------
        LinkRefused
            No such code waits.
        TooMany
            After mistakes.
        """
        buckets = (Bucket(f"user-code:{actor.person_id}", LOOK_FREE),)
        self._throttle.charge(buckets)
        with self._shared.store.writing() as tx:
            row = self._pending(tx, user_code)
            self._throttle.forgive(tx, buckets)
            return row

    def decide(self, actor: Actor, user_code: str, client: Client, *, approve: bool) -> Device:
        """Let the command line sign in as the actor, or not.

        Raises
        ------
        LinkRefused
            No such code waits.
        """
        code = self.look(actor, user_code, client).user_code
        with self._shared.doing(actor, Action.DEVICE_APPROVE, client, code) as doing:
            row = msgspec.structs.replace(
                self._pending(doing.tx, code), state="approved" if approve else "refused", person_id=doing.actor.person_id
            )
            doing.tx.put(row)
            scopes = " ".join(row.scopes)
            self._shared.done(doing, Action.DEVICE_APPROVE, code, client, decision=row.state, label=row.label, scopes=scopes)
        return row

    def poll(self, device_code: str, client: Client) -> PolledDevice:
        """The token, once, where the person has confirmed; without one, ask again after the interval.

        Raises
        ------
        LinkRefused
            The code is unknown, used or too old.
        Forbidden
            The person refused.
        TooMany
            Asked again before the interval was over.
        """
        with self._shared.writing() as tx:
            row, now = tx.get(Device, secret_text.hash_of(device_code)), self._shared.wall_ns()
            if row is None or now >= row.expires_wall_ns or row.state == "used":
                raise link_refused("device code")
            if row.state == "refused":
                raise Forbidden("the sign-in was refused", why="a person said no in the browser", fix="begin again, if that was a mistake")
            if row.state == "pending":
                if row.polled_wall_ns is not None and now - row.polled_wall_ns < INTERVAL_S * NS - SLACK_NS:
                    raise TooMany("asked again too soon", retry_after_s=INTERVAL_S, why=f"the interval is {INTERVAL_S} s")
                row = msgspec.structs.replace(row, polled_wall_ns=now)
                tx.put(row)
                return PolledDevice(row)
            return self._take(tx, row, client)

    def _take(self, tx: Tx, row: Device, client: Client) -> PolledDevice:
        person = tx.get(Person, row.person_id or "")
        if person is None or person.state != "active":
            raise Forbidden("the sign-in was refused", why="the account is not active any more", fix="ask an admin")
        used = msgspec.structs.replace(row, state="used")
        tx.put(used)
        new = self._tokens.mint(tx, person.person_id, row.label, row.scopes)
        doing = Doing(tx, as_actor(person, ref=new.token.token_id), self._shared.wall_ns())
        self._shared.done(
            doing, Action.TOKEN_MANAGE, new.token.token_id, client, label=row.label, by="device code", scopes=" ".join(row.scopes)
        )
        return PolledDevice(used, new)

    def _pending(self, tx: Tx, user_code: str) -> Device:
        told = secret_text.user_code_of(user_code)
        rows = [row for row in tx.find(Device, user_code=told) if row.state == "pending" and self._shared.wall_ns() < row.expires_wall_ns]
        if not rows:
            raise link_refused("code")
        return rows[0]
