"""A desk of people over a folder of its own, with a clock that stands until it is moved, and people who set themselves up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyotp
from tests.unit.services.people.authenticator import Authenticator

from kedge.domain.people import Act, Actor, Role, Source
from kedge.ops.identity.passwords import Argon2Cost
from kedge.services.people.answers import Client, SignedIn
from kedge.services.people.desk import PeopleDesk
from kedge.storage.people_store import Tx

NS = 10**9
START_NS = 1_780_000_000 * NS
CHEAP = Argon2Cost(memory_kib=64, passes=1, lanes=1)
PASSWORD = "violet tractor moon 77"
HOME = Client(address="127.0.0.1", agent="Test/1", correlation_id="c-1")


class Clock:
    """Wall time that stands until it is moved."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns

    def move(self, seconds: float) -> None:
        self.now_ns += int(seconds * NS)


@dataclass
class Known:
    """A person with what they prove themselves with, and their session."""

    signed_in: SignedIn
    keys: Authenticator = field(default_factory=Authenticator)
    secret: str = ""
    recovery_codes: tuple[str, ...] = ()

    @property
    def actor(self) -> Actor:
        return self.signed_in.actor

    @property
    def person_id(self) -> str:
        return self.signed_in.person.person_id

    @property
    def client(self) -> Client:
        return Client(address="127.0.0.1", agent="Test/1", cookie=self.signed_in.cookie, device=self.signed_in.device)


class World:
    """The desk and its clock."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.clock = folder, Clock()
        self.desk = PeopleDesk.open(folder, wall_ns=self.clock, cost=options.pop("cost", CHEAP), **options)

    def code(self, secret: str, *, ahead_s: int = 0) -> str:
        return pyotp.TOTP(secret).at(self.clock.now_ns // NS + ahead_s)

    def first(self, name: str = "ada") -> Known:
        """The first person, by passkey: admin and trader."""
        link = self.desk.links.first()
        assert link is not None
        return self._by_passkey(link, name)

    def first_by_password(self, name: str = "ada") -> Known:
        link = self.desk.links.first()
        assert link is not None
        return self.by_password(link, name)

    def invited(self, by: Known, name: str, roles: Collection[Role] = (Role.VIEWER,)) -> Known:
        """One more person, by passkey."""
        self.fresh(by)
        invited = self.desk.accounts.invite(by.actor, by.client, name=name, display_name=name.title(), roles=list(roles))
        return self._by_passkey(invited.link_secret, name)

    def granted(self, person: Known, roles: Collection[Role]) -> None:
        """Roles that take an approval, given as its executor gives them."""
        with self.desk.store.writing() as tx:
            grantee = self.desk.accounts.grantee(tx, person.person_id, asked_wall_ns=self.clock.now_ns)
            self.desk.accounts.grant(tx, grantee, list(roles))

    def sign_in(self, known: Known, client: Client = HOME) -> SignedIn:
        """Sign in by passkey, and keep the session."""
        options = self.desk.sign_in.options(client)
        known.signed_in = self.desk.sign_in.by_passkey(options.challenge_id, known.keys.get(options.public_key), client)
        return known.signed_in

    def fresh(self, known: Known) -> Known:
        """Step up by passkey."""
        options = self.desk.step_up.options(known.actor, known.client)
        answer = known.keys.get(options.public_key)
        known.signed_in = self.desk.step_up.by_passkey(known.actor, options.challenge_id, answer, known.client).signed_in
        return known

    def by_password(self, link: str, name: str, password: str = PASSWORD, client: Client = HOME) -> Known:
        offer = self.desk.setup.password(link, name, name.title(), password, client)
        made = self.desk.setup.with_totp(offer.ticket, self.code(offer.totp_secret), client)
        self.clock.move(30)
        return Known(made.signed_in, secret=offer.totp_secret, recovery_codes=made.recovery_codes)

    def acts(self) -> list[Act]:
        """Every act that the journal has, oldest first."""
        found: list[Act] = []
        before: int | None = None
        while True:
            page = self.desk.acts.page(100, before)
            found += [stored.act for stored in page.acts]
            if page.before_seq is None:
                return found[::-1]
            before = page.before_seq

    def last_act(self) -> Act:
        return self.acts()[-1]

    def rows(self, read: Callable[[Tx], Any]) -> Any:
        with self.desk.store.reading() as tx:
            return read(tx)

    def everything_written(self) -> bytes:
        """The bytes of every file of the state folder, and the text of every act."""
        self.desk.shared.flush()
        written = b"".join(path.read_bytes() for path in sorted(self.folder.rglob("*")) if path.is_file())
        return written + repr(self.acts()).encode()

    def _by_passkey(self, link: str, name: str) -> Known:
        keys = Authenticator(origin=self.desk.public_origin)
        options = self.desk.setup.passkey_options(link, name, name.title(), HOME)
        return Known(self.desk.setup.with_passkey(options.challenge_id, keys.create(options.public_key), "laptop", HOME), keys=keys)


@contextmanager
def world(folder: Path, **options: Any) -> Iterator[World]:
    folder.chmod(0o700)
    made = World(folder, **options)
    try:
        yield made
    finally:
        made.desk.close()


def nobody() -> Actor:
    return Actor(person_id="p-none", name="none", roles=(), source=Source.BROWSER, ref="s-none")
