"""Approvals as signed records: request, decide, withdraw, use. One implementation for whatever needs two people.

Rules: what is legal is `governance.approvals`' to say; here every state is signed with the server's key and stored with its act in one
transaction, and the use of an approval and what it carries out are one transaction too, so that nothing happens twice or by half. What is
refused is an act as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from kedge.domain.errors import Conflict, Forbidden, KedgeError, NotFound
from kedge.domain.people import Actor, Role, Source
from kedge.governance import approvals as rules
from kedge.governance.actions import Action
from kedge.governance.approval_kinds import kind_of
from kedge.governance.approval_record import Approval, Method, State, same_person
from kedge.services.people.answers import Client, PasskeyEvidence
from kedge.services.people.approval_record import ApprovalRecord, proof_of, record_of, row_of, signed
from kedge.services.people.approval_soundness import NewestAct, require_fitting, sound_record
from kedge.services.people.errors import ApprovalForged
from kedge.services.people.executors import Executor
from kedge.services.people.shared import Doing, Shared
from kedge.storage.keys import SigningKey
from kedge.storage.people_rows import ApprovalRow, Person, Session
from kedge.storage.people_store import Tx

OPEN_MAX: Final = 50
"""Requests of one person that may wait at once: what nobody can oversee, nobody decides."""
_OPEN: Final = (State.REQUESTED, State.APPROVED)
_SYSTEM: Final = Actor(person_id="system", name="system", roles=(), source=Source.SYSTEM)


class ApprovalPage(NamedTuple):
    """Records, newest first; `before` asks for the next page, None where this was the last."""

    records: list[ApprovalRecord]
    before: int | None


class Approvals:
    """The approvals of one state folder. All methods are synchronous.

    Parameters
    ----------
    executors : mapping of str to Executor
        What using an approval of a kind carries out. A kind without one cannot be used yet.
    newest : callable
        Finds the newest act of the journal that fits.
    solo_reason : str
        Why one person works alone here; empty where nobody declared it.
    """

    def __init__(
        self, shared: Shared, signer: SigningKey, *, executors: Mapping[str, Executor], newest: NewestAct, solo_reason: str
    ) -> None:
        self._shared, self._signer, self._executors, self.solo_reason = shared, signer, dict(executors), solo_reason
        self._newest = newest

    @property
    def public_key(self) -> str:
        """Of the server, as text: what its signatures are checked with."""
        return self._signer.public.text

    def request(self, actor: Actor, kind: str, payload: Mapping[str, Any], reason: str, client: Client) -> ApprovalRecord:
        """Ask for an approval of exactly this payload.

        Raises
        ------
        InvalidInput, ApprovalRefused, Forbidden
        Conflict
            It could not be carried out, or too many requests of this person wait.
        """
        wanted = kind_of(kind)
        with self._shared.doing(actor, Action.APPROVAL_REQUEST, client, wanted.value) as doing:
            approval = rules.request(
                wanted,
                payload,
                approval_id=self._shared.new_id("approval"),
                actor=doing.actor,
                reason=reason,
                now_wall_ns=doing.now_wall_ns,
            )
            if (executor := self._executors.get(wanted.value)) is not None:
                executor.check(doing.tx, approval)
            self._refuse_too_many(doing)
            return self._keep(doing, approval, None, Action.APPROVAL_REQUEST, client)

    def decide(
        self,
        actor: Actor,
        approval_id: str,
        client: Client,
        *,
        approve: bool,
        reason: str,
        payload_sha256: str,
        evidence: PasskeyEvidence | None = None,
    ) -> ApprovalRecord:
        """Approve or refuse, as somebody who saw this payload.

        Parameters
        ----------
        evidence : PasskeyEvidence, optional
            What the person's passkey signed a moment ago over `challenge_of` the approval: who they are, and what for, in one.
            Without it the session's last proof of identity counts.

        Raises
        ------
        ApprovalRefused, Forbidden, StepUpRequired, InvalidInput, NotFound, ApprovalForged
        """
        self.expire_due()
        proven = actor if evidence is None else replace(actor, step_up_wall_ns=evidence.wall_ns)
        with self._shared.doing(proven, Action.APPROVAL_DECIDE, client, approval_id) as doing:
            record = self._sound(doing.tx, approval_id)
            if approve:
                after = self._approved(doing, record.approval, reason, payload_sha256, evidence)
            else:
                after = rules.refuse(
                    record.approval, doing.actor, payload_sha256=payload_sha256, reason=reason, now_wall_ns=doing.now_wall_ns
                )
            return self._keep(doing, after, record, Action.APPROVAL_DECIDE, client)

    def withdraw(self, actor: Actor, approval_id: str, reason: str, client: Client) -> ApprovalRecord:
        """Take back one's own request."""
        self.expire_due()
        with self._shared.doing(actor, Action.APPROVAL_WITHDRAW, client, approval_id) as doing:
            record = self._sound(doing.tx, approval_id)
            after = rules.withdraw(record.approval, doing.actor, now_wall_ns=doing.now_wall_ns, reason=reason)
            return self._keep(doing, after, record, Action.APPROVAL_WITHDRAW, client)

    def use(self, actor: Actor, approval_id: str, client: Client) -> ApprovalRecord:
        """Carry out what was approved, once: both happen, or neither.

        Raises
        ------
        ApprovalRefused, Forbidden, Conflict, NotFound, ApprovalForged
        """
        self.expire_due()
        with self._shared.doing(actor, Action.APPROVAL_USE, client, approval_id) as doing:
            record = self._sound(doing.tx, approval_id)
            before, approver = record.approval, record.approval.approver
            after = rules.use(
                before,
                doing.actor,
                payload_sha256=before.payload_sha256,
                requester_roles=self._roles(doing.tx, before.requester.person_id),
                approver_roles=self._roles(doing.tx, approver.person_id) if approver else (),
                now_wall_ns=doing.now_wall_ns,
                held=self._held(doing.tx, before),
            )
            executor = self._executors.get(before.kind.value)
            if executor is None:
                why = "nothing that is running carries it out"
                raise Forbidden(f"an approval of {before.kind} cannot be used here", why=why, fix="use it where it is carried out")
            return self._keep(doing, after, record, Action.APPROVAL_USE, client, executor.carry_out(doing, after))

    def get(self, approval_id: str) -> ApprovalRecord:
        """One approval as it stands now.

        Raises
        ------
        NotFound
        """
        self.expire_due()
        with self._shared.store.reading() as tx:
            return record_of(_row(tx, approval_id))

    def page(self, limit: int, before: int | None = None, *, state: str | None = None, kind: str | None = None) -> ApprovalPage:
        """Approvals, newest first."""
        self.expire_due()
        equal = {name: value for name, value in (("state", state), ("kind", kind)) if value is not None}
        with self._shared.store.reading() as tx:
            found = tx.page(ApprovalRow, limit, before, **equal)
            return ApprovalPage([record_of(row) for row in found.rows], found.before)

    def expire_due(self) -> None:
        """Let everything expire whose time is over, as acts of the system. What was forged is left as it is, unsigned: see `decide`."""
        now = self._shared.wall_ns()
        with self._shared.store.reading() as tx:
            due = [row.approval_id for row in self._open(tx) if row.expires_wall_ns <= now]
        if not due:
            return
        with self._shared.writing() as tx:
            for approval_id in due:
                try:
                    record = self._sound(tx, approval_id)
                except ApprovalForged:
                    continue
                if rules.is_due(record.approval, now):
                    after = rules.expire(record.approval, now_wall_ns=now, actor=_SYSTEM)
                    self._keep(Doing(tx, _SYSTEM, now), after, record, Action.APPROVAL_EXPIRE, Client(address=""))

    def obstacle(self, actor: Actor, record: ApprovalRecord) -> KedgeError | None:
        """Why this person cannot approve it now, apart from the proof of identity that it will take; None when they can."""
        now = self._shared.wall_ns()
        with self._shared.store.reading() as tx:
            try:
                if record.approval.state in _OPEN:
                    require_fitting(record, self._signer.public)
                self._approved(
                    Doing(tx, replace(actor, step_up_wall_ns=now), now), record.approval, "-", record.approval.payload_sha256, None
                )
            except KedgeError as error:
                return error
        return None

    def _approved(self, doing: Doing, approval: Approval, reason: str, payload_sha256: str, evidence: PasskeyEvidence | None) -> Approval:
        """What approving it gives: as the second person, or alone where that is allowed."""
        proof = proof_of(evidence, approval, self._method(doing))
        held = self._held(doing.tx, approval)
        actor = doing.actor
        own = same_person(actor.person_id, approval.requester.person_id)
        if own and rules.may_bootstrap(approval.kind, actor.person_id, actor.roles, held):
            return rules.bootstrap(
                approval,
                doing.actor,
                payload_sha256=payload_sha256,
                proof=proof,
                held=held,
                now_wall_ns=doing.now_wall_ns,
                reason=reason,
            )
        return rules.approve(
            approval,
            doing.actor,
            payload_sha256=payload_sha256,
            proof=proof,
            requester_roles=self._roles(doing.tx, approval.requester.person_id),
            now_wall_ns=doing.now_wall_ns,
            reason=reason,
            solo_reason=self.solo_reason,
        )

    def _keep(
        self,
        doing: Doing,
        approval: Approval,
        before: ApprovalRecord | None,
        action: Action,
        client: Client,
        carried_out: Mapping[str, str] | None = None,
    ) -> ApprovalRecord:
        """Sign the state that an approval came to, and store it with its act."""
        record, step = signed(approval, self._signer, before), approval.steps[-1]
        doing.tx.put(row_of(record))
        details = {"state": step.state.value, "kind": approval.kind.value, "payload_sha256": approval.payload_sha256, **(carried_out or {})}
        if approval.approver is not None:
            details["four_eyes"] = "true" if approval.four_eyes else "false"
        if step.proof is not None:
            details["method"] = step.proof.method.value
        if approval.mark:
            details["mark"] = approval.mark.value
        self._shared.done(doing, action, approval.approval_id, client, reason=step.reason, **details)
        return record

    def _sound(self, tx: Tx, approval_id: str) -> ApprovalRecord:
        """The record, to be acted upon."""
        return sound_record(tx, _row(tx, approval_id), self._signer.public, self._newest)

    def _refuse_too_many(self, doing: Doing) -> None:
        if doing.tx.count(ApprovalRow, state=State.REQUESTED.value, requester_id=doing.actor.person_id) >= OPEN_MAX:
            raise Conflict(
                f"{OPEN_MAX} requests of {doing.actor.name} wait", why="nobody could oversee more", fix="withdraw those that are not needed"
            )

    def _open(self, tx: Tx) -> Iterator[ApprovalRow]:
        for state in _OPEN:
            yield from tx.find(ApprovalRow, state=state.value)

    def _roles(self, tx: Tx, person_id: str) -> tuple[Role, ...]:
        """What a person holds now; nothing when disabled or not known."""
        person = tx.get(Person, person_id)
        return person.roles if person is not None and person.state == "active" else ()

    def _held(self, tx: Tx, approval: Approval) -> Collection[str]:
        """Ids of everybody who holds, or by an approval ever got, a role that may approve this kind."""
        approvers = approval.rule.approvers
        held = {person.person_id for person in tx.find(Person) if approvers & frozenset(person.roles)}
        for row in tx.find(ApprovalRow, state=State.USED.value):
            held |= rules.shown_holding(record_of(row).approval, approvers)
        return held

    def _method(self, doing: Doing) -> Method:
        """How the session of this person proved who they are last; a passkey that did not sign this approval is no proof of it."""
        session = next(iter(doing.tx.find(Session, session_id=doing.actor.ref)), None) if doing.actor.ref else None
        by_password = session is not None and session.method in (Method.PASSWORD_TOTP, Method.PASSWORD_RECOVERY)
        return Method(session.method) if session is not None and by_password else Method.SESSION


def _row(tx: Tx, approval_id: str) -> ApprovalRow:
    row = tx.get(ApprovalRow, approval_id)
    if row is None:
        why, fix = "nobody asked for it here", "kedge approval list, or the page /approvals"
        raise NotFound(f"no approval {approval_id[:40]!r}", why=why, fix=fix)
    return row
