"""The desk of people: composes who exists, how they prove it, and what they hold. All methods are synchronous.

Rules: every change and its act are one transaction; the act stands in the journal of acts before a method returns. What is refused
is an act too. Methods take the `Client` that asks (address, cookies, correlation id) and, where somebody must be known, the `Actor`.

| endpoint (`/api/v1/...`) | method | gives |
|---|---|---|
| (guard) | `desk.identify(cookie, bearer, address)` | `Actor` or None |
| (guard) | `desk.require(actor, action, client, subject="")` | raises NotSignedIn, Forbidden, StepUpRequired; the refusal becomes an act |
| (every minute) | `desk.upkeep()` | sheds what is over, writes the acts that are due |
| (terminal, no server) | `open_links(state_folder)` -> `links.local(actor, name, client)` | `Invited`; the server journals the act later |
| (start) | `desk.links.first()` | secret of the first set-up link, None when an account exists |
| GET session | `desk.sessions.current(cookie)` | `Session` (csrf, step_up_wall_ns) or None; `desk.accounts_exist` |
| DELETE session | `desk.sessions.sign_out(actor, client)` | |
| POST setup/options | `desk.setup.passkey_options(link_secret, name, display_name, client)` | `PasskeyOptions` |
| POST setup/passkey | `desk.setup.with_passkey(challenge_id, credential, label, client)` | `SignedIn` |
| POST setup/password | `desk.setup.password(link_secret, name, display_name, password, client)` | `TotpOffer` |
| POST setup/totp | `desk.setup.with_totp(ticket, code, client)` | `SetUp` |
| POST sign-in/options | `desk.sign_in.options(client)` | `PasskeyOptions` |
| POST sign-in/passkey | `desk.sign_in.by_passkey(challenge_id, credential, client)` | `SignedIn` |
| POST sign-in/password | `desk.sign_in.by_password(name, password, code, client)` | `SignedIn` |
| POST step-up/options | `desk.step_up.options(actor, client, binds=None)` (32 bytes) | `PasskeyOptions` |
| POST step-up/passkey | `desk.step_up.by_passkey(actor, challenge_id, credential, client)` | `StepUp` |
| POST step-up/password | `desk.step_up.by_password(actor, password, code, client)` | `StepUp` |
| approvals' decisions | `desk.step_up.evidence(actor, challenge_id, credential, client, binds=hash)` | `PasskeyEvidence`, no new session |
| GET me | `desk.accounts.person(actor.person_id)`, `desk.factors.of(person_id)` | `Person`, `Factors` |
| PATCH me | `desk.accounts.edit_me(actor, client, version=, display_name=)` | `Person` |
| GET me/passkeys | `desk.factors.passkeys(actor)` | `list[Passkey]` |
| POST me/passkeys/options | `desk.factors.passkey_options(actor, client)` | `PasskeyOptions` |
| POST me/passkeys | `desk.factors.add_passkey(actor, challenge_id, credential, label, client)` | `Passkey` |
| DELETE me/passkeys/{id} | `desk.factors.remove_passkey(actor, credential_id, client)` | |
| POST me/password | `desk.factors.set_password(actor, password, client)` | `SignedIn` (renewed; all other sessions end) |
| POST me/totp | `desk.factors.begin_totp(actor, client)` | `TotpOffer` |
| POST me/totp/confirmation | `desk.factors.confirm_totp(actor, ticket, code, client)` | `SetUp` (renewed session; new codes or none) |
| POST me/recovery-codes | `desk.factors.new_recovery_codes(actor, client)` | `tuple[str, ...]` |
| GET me/sessions | `desk.sessions.of(actor)` | `list[Session]` |
| DELETE me/sessions/{id} | `desk.sessions.end(actor, session_id, client)` | |
| GET me/tokens | `desk.tokens.of(actor)` | `list[Token]` |
| POST me/tokens | `desk.tokens.create(actor, client, label=, scopes=, days=90, addresses=())` | `NewToken` |
| DELETE me/tokens/{id} | `desk.tokens.revoke(actor, token_id, client)` | |
| GET people, people/{id} | `desk.accounts.people()`, `desk.accounts.person(person_id)` | `list[Person]`, `Person` |
| POST people | `desk.accounts.invite(actor, client, name=, display_name=, roles=)` | `Invited` |
| PATCH people/{id} | `desk.accounts.edit(actor, person_id, client, version=, roles=None, disabled=None, display_name=None)` | `Person` |
| POST people/{id}/setup-links | `desk.accounts.setup_link(actor, person_id, client)` | `Invited` |
| (set-up page) | `desk.setup.look(link_secret)` | `Person` whose link it is, None for the first |
| role-grant is used | `desk.accounts.grantee(tx, person_id, asked_wall_ns=)`, `.grant(tx, grantee, roles, version=)`, its act | `Person` |
| POST device-codes | `desk.devices.begin(label, scopes, client)` | `DeviceCode` |
| GET device-codes/{user_code} | `desk.devices.look(actor, user_code, client)` | `Device` |
| POST device-codes/{user_code}/approval | `desk.devices.decide(actor, user_code, client, approve=)` | `Device` |
| POST device-tokens | `desk.devices.poll(device_code, client)` | `PolledDevice` (`token` None: ask again) |

Passwords are hashed outside of transactions, because that is slow on purpose: `by_password`, `set_password` and `setup.password` must not
be called inside a `store.writing()` block.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from kedge.domain.errors import KedgeError
from kedge.domain.people import Actor
from kedge.governance.roles import Action, require
from kedge.ops.identity.passkeys import Party
from kedge.ops.identity.passwords import Argon2Cost, Passwords
from kedge.ops.identity.sealing import load_or_create_sealer
from kedge.ops.state_folder import inbox_path, keys_folder
from kedge.services.people.accounts import Accounts
from kedge.services.people.acts import ActJournal
from kedge.services.people.answers import Client
from kedge.services.people.approvals import Approvals
from kedge.services.people.commands import Commands
from kedge.services.people.devices import Devices
from kedge.services.people.executors import executors
from kedge.services.people.factors import Factors
from kedge.services.people.links import Links
from kedge.services.people.proofs import Proofs
from kedge.services.people.sessions import Sessions
from kedge.services.people.setup import SetUps
from kedge.services.people.shared import REFUSALS, Shared
from kedge.services.people.sign_in import SignIn, StepUps
from kedge.services.people.throttle import Throttle
from kedge.services.people.tokens import Tokens
from kedge.services.people.upkeep import sweep
from kedge.storage.keys import load_or_create_key
from kedge.storage.people_store import PeopleStore

log: Final = logging.getLogger(__name__)
PEOPLE_FOLDER: Final = "people"
STORE_NAME: Final = "people.sqlite"
ACTS_FOLDER: Final = "acts"
ORIGIN_DEFAULT: Final = "http://localhost:8080"


class PeopleDesk:
    """Everything about people, over one store and one journal of acts. Made by `open`."""

    def __init__(self, shared: Shared, acts: ActJournal, approvals: Callable[[Accounts], Approvals], commands: Commands) -> None:
        self.shared, self.acts, self.commands = shared, acts, commands
        proofs = Proofs(shared)
        self.store = shared.store
        self.throttle = Throttle(shared)
        self.sessions, self.tokens, self.links = Sessions(shared), Tokens(shared), Links(shared)
        self.factors = Factors(shared, proofs, self.sessions)
        self.setup = SetUps(shared, proofs, self.sessions, self.tokens, self.links, self.factors)
        self.sign_in = SignIn(shared, proofs, self.sessions, self.throttle)
        self.step_up = StepUps(shared, proofs, self.sessions, self.throttle)
        self.accounts = Accounts(shared, self.sessions, self.tokens, self.links)
        self.devices = Devices(shared, self.tokens, self.throttle)
        self.approvals = approvals(self.accounts)
        self._is_closed = False

    @classmethod
    def open(
        cls,
        state_folder: Path,
        *,
        solo_reason: str = "",
        public_origin: str = ORIGIN_DEFAULT,
        wall_ns: Callable[[], int] = time.time_ns,
        random_bytes: Callable[[int], bytes] = os.urandom,
        cost: Argon2Cost | None = None,
    ) -> PeopleDesk:
        """Open the people of a state folder, as their one writer; both are made on first use.

        Parameters
        ----------
        solo_reason : str
            Why one person works alone here, as the configuration declares it; empty where two decide.
        public_origin : str
            The address at which browsers see the pages; passkeys are bound to it.
        cost : Argon2Cost, optional
            Of new password hashes.

        Raises
        ------
        Conflict
            Another server serves this state folder.
        IntegrityError, InvalidConfig, RecordingFailed
            Store, journal or keys are damaged, open to others, or cannot be written.
        """
        folder = state_folder / PEOPLE_FOLDER
        party = Party.of(public_origin)
        store = PeopleStore(folder / STORE_NAME)
        try:
            signer = load_or_create_key(keys_folder(state_folder))
            acts = ActJournal(folder / ACTS_FOLDER, signer, wall_ns=wall_ns, random_bytes=random_bytes)
            try:
                shared = Shared(
                    store=store,
                    passwords=Passwords(cost),
                    sealer=load_or_create_sealer(folder, random_bytes),
                    flush=lambda: acts.flush(store),
                    party=party,
                    wall_ns=wall_ns,
                    random_bytes=random_bytes,
                )
                commands = Commands(inbox_path(state_folder), shared)
                desk = cls(
                    shared,
                    acts,
                    lambda accounts: Approvals(
                        shared,
                        signer,
                        executors=executors(accounts, state_folder),
                        newest=acts.newest,
                        solo_reason=solo_reason,
                    ),
                    commands,
                )
                desk.upkeep()
            except BaseException:
                acts.close()
                raise
        except BaseException:
            store.close()
            raise
        return desk

    def __enter__(self) -> PeopleDesk:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release both files, with every act journalled that can be; a second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self.shared.flush()
        finally:
            self.acts.close()
            self.store.close()

    @property
    def accounts_exist(self) -> bool:
        """Whether anybody has an account: from then on nothing is read without signing in."""
        return self.shared.accounts_exist()

    @property
    def public_origin(self) -> str:
        """The address at which browsers see the pages."""
        return self.shared.party.origins[0]

    def identify(self, cookie: str | None, bearer: str | None, address: str) -> Actor | None:
        """Who asks, by cookie or by token; None where what was shown is worth nothing, or both were shown."""
        if cookie and bearer:
            return None
        if bearer:
            return self.tokens.identify(bearer, address)
        return self.sessions.identify(cookie) if cookie else None

    def require(self, actor: Actor | None, action: Action, client: Client, subject: str = "") -> None:
        """Refuse an act to whoever may not do it; the refusal is an act.

        Raises
        ------
        NotSignedIn, Forbidden, StepUpRequired
        """
        try:
            require(actor, action, now_wall_ns=self.shared.wall_ns(), accounts_exist=self.accounts_exist)
        except REFUSALS as error:
            self.shared.refused(actor, action, subject, client, error)
            raise

    def upkeep(self) -> None:
        """Shed what is over (sessions, questions, links, codes, answers), and journal the acts that are due. Call it every minute.

        An inbox that is damaged is told in the log, and keeps nobody out.
        """
        sweep(self.store, self.shared.wall_ns())
        self.approvals.expire_due()
        try:
            self.commands.settle()
        except KedgeError as error:  # people must get in all the same; the check `inbox` of /health says it too
            log.error("acts of commands are not journalled", extra={"problem": str(error)})
        self.shared.flush()


@contextmanager
def open_links(
    state_folder: Path, *, wall_ns: Callable[[], int] = time.time_ns, random_bytes: Callable[[int], bytes] = os.urandom
) -> Iterator[Links]:
    """The set-up links of a state folder, beside a server or without one. What is done stands in the store; the server journals it."""
    folder = state_folder / PEOPLE_FOLDER
    with PeopleStore(folder / STORE_NAME) as store:
        shared = Shared(
            store=store,
            passwords=Passwords(),
            sealer=load_or_create_sealer(folder, random_bytes),
            flush=_later,
            party=Party.of(ORIGIN_DEFAULT),
            wall_ns=wall_ns,
            random_bytes=random_bytes,
        )
        yield Links(shared)


def _later() -> None:
    """The server journals what is due: it is the journal's one writer."""
