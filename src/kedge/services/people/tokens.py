"""API tokens: made by a person for a machine, and never worth more than that person is now.

Rules: kept is a hash; a token has scopes, an expiry of at most 366 days, and where wanted the networks it may come from. It ends with
its revocation at once, and with its owner.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

import msgspec

from kedge.domain.errors import InvalidInput, NotFound
from kedge.domain.people import Actor, Scope, Source
from kedge.governance.roles import Action
from kedge.ops.identity import secret_text
from kedge.services.people.answers import Client, NewToken
from kedge.services.people.shared import NS, Shared, label_of
from kedge.storage.people_rows import Device, Person, Token
from kedge.storage.people_store import Tx

DAYS_DEFAULT: Final = 90
DAYS_MAX: Final = 366
DAY_S: Final = 24 * 3600
USED_EVERY_S: Final = 60
TOKENS_MAX: Final = 50
"""That one person may have in force."""
ADDRESSES_MAX: Final = 20


class Tokens:
    """The tokens of everybody."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def identify(self, text: str, address: str) -> Actor | None:
        """Who is behind a token that comes from this address; None where it is worth nothing (any more)."""
        if not secret_text.is_token(text):
            return None
        now = self._shared.wall_ns()
        with self._shared.store.reading() as tx:
            token = tx.get(Token, secret_text.hash_of(text))
            person = tx.get(Person, token.person_id) if token else None
        if token is None or person is None or person.state != "active" or not _is_good(token, now) or not _comes_from(token, address):
            return None
        if token.used_wall_ns is None or now - token.used_wall_ns >= USED_EVERY_S * NS:
            self._used(token, now)
        return Actor(
            person_id=person.person_id,
            name=person.name,
            roles=person.roles,
            source=Source.TOKEN,
            ref=token.token_id,
            scopes=token.scopes,
        )

    def of(self, actor: Actor) -> list[Token]:
        """The actor's tokens, newest first, those that ended too."""
        with self._shared.store.reading() as tx:
            return list(reversed(tx.find(Token, person_id=actor.person_id)))

    def create(
        self, actor: Actor, client: Client, *, label: str, scopes: Sequence[Scope], days: int = DAYS_DEFAULT, addresses: Sequence[str] = ()
    ) -> NewToken:
        """A new token of the actor's; its text is never shown again.

        Raises
        ------
        InvalidInput
            No scope, too long a life, or an address that is none.
        """
        told = label_of(label, "token")
        if not 1 <= days <= DAYS_MAX:
            raise InvalidInput(f"days is {days}", why=f"a token lives 1 to {DAYS_MAX} days", fix="renew it then")
        networks = _networks(addresses)
        with self._shared.doing(actor, Action.TOKEN_MANAGE, client) as doing:
            new = self.mint(doing.tx, actor.person_id, told, scopes, days=days, addresses=networks)
            token = new.token
            self._shared.done(
                doing,
                Action.TOKEN_MANAGE,
                token.token_id,
                client,
                label=told,
                scopes=" ".join(token.scopes),
                days=str(days),
                networks=" ".join(networks),
            )
        return new

    def mint(
        self, tx: Tx, person_id: str, label: str, scopes: Sequence[Scope], *, days: int = DAYS_DEFAULT, addresses: tuple[str, ...] = ()
    ) -> NewToken:
        """A token in the caller's transaction; the caller has asked whether it may be, and puts the act."""
        now = self._shared.wall_ns()
        if not scopes:
            raise InvalidInput("a token without scopes", why="it could do nothing", fix=f"name some of {', '.join(Scope)}")
        if sum(_is_good(row, now) for row in tx.find(Token, person_id=person_id)) >= TOKENS_MAX:
            raise InvalidInput(
                f"{TOKENS_MAX} tokens are in force", why="more could not be kept in view", fix="revoke those that are not needed"
            )
        text = secret_text.new_token(self._shared.random_bytes)
        token = Token(
            token_hash=secret_text.hash_of(text),
            token_id=self._shared.new_id("t"),
            person_id=person_id,
            label=label,
            scopes=tuple(sorted(set(scopes))),
            addresses=addresses,
            made_wall_ns=now,
            expires_wall_ns=now + days * DAY_S * NS,
        )
        tx.add(token)
        return NewToken(text, token)

    def revoke(self, actor: Actor, token_id: str, client: Client) -> None:
        """End one of the actor's tokens, at once. A token may end itself and no other.

        Raises
        ------
        NotFound
            It is none of theirs.
        """
        with self._shared.doing(actor, Action.TOKEN_REVOKE, client, token_id) as doing:
            rows = [row for row in doing.tx.find(Token, token_id=token_id) if row.person_id == actor.person_id]
            if not rows or (actor.source is Source.TOKEN and actor.ref != token_id):
                raise NotFound(
                    f"no token {token_id[:40]!r}", why="there is none of yours, or a token asks to end another", fix="list your tokens"
                )
            if rows[0].revoked_wall_ns is None:
                doing.tx.put(msgspec.structs.replace(rows[0], revoked_wall_ns=doing.now_wall_ns))
                self._shared.done(doing, Action.TOKEN_REVOKE, token_id, client, label=rows[0].label)

    def end_all(self, tx: Tx, person_id: str) -> int:
        """Revoke every token of a person; how many were in force. A command line that was let in and fetched no token yet gets none."""
        for device in tx.find(Device, state="approved"):
            if device.person_id == person_id:
                tx.put(msgspec.structs.replace(device, state="refused"))
        now = self._shared.wall_ns()
        rows = [row for row in tx.find(Token, person_id=person_id) if row.revoked_wall_ns is None]
        for row in rows:
            tx.put(msgspec.structs.replace(row, revoked_wall_ns=now))
        return len(rows)

    def _used(self, token: Token, now: int) -> None:
        with self._shared.store.writing() as tx:
            row = tx.get(Token, token.token_hash)
            if row is not None:
                tx.put(msgspec.structs.replace(row, used_wall_ns=now))


def _is_good(token: Token, now: int) -> bool:
    return token.revoked_wall_ns is None and now < token.expires_wall_ns


def _comes_from(token: Token, address: str) -> bool:
    if not token.addresses:
        return True
    try:
        told = ipaddress.ip_address(address)
    except ValueError:
        return False
    plain = getattr(told, "ipv4_mapped", None) or told
    return any(plain in ipaddress.ip_network(network) for network in token.addresses)


def _networks(addresses: Sequence[str]) -> tuple[str, ...]:
    if len(addresses) > ADDRESSES_MAX:
        raise InvalidInput(f"{len(addresses)} addresses", why=f"at most {ADDRESSES_MAX}", fix="name networks, such as 10.0.0.0/24")
    told: set[str] = set()
    for address in addresses:
        try:
            told.add(str(ipaddress.ip_network(address)))
        except ValueError:
            raise InvalidInput(
                f"address {address[:60]!r}", why="it is neither an address nor a network", fix="such as 192.0.2.7 or 10.0.0.0/24"
            ) from None
    return tuple(sorted(told))
