"""The API's documents of approvals."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from kedge.api.schemas_base import Cursor, Document, Sha256, Time
from kedge.api.schemas_people import ChallengeId, Credential, Said
from kedge.domain.people import Role, Source
from kedge.governance.approval_kinds import ApprovalKind
from kedge.governance.approval_record import Mark, Method, State

Kind = Annotated[ApprovalKind, Field(strict=False)]
Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S")]
OptionalReason = Annotated[str, Field(max_length=500)]


class ApprovalBody(Said):
    """A request: exactly this payload, and why."""

    kind: Kind
    payload: dict[str, Any]
    reason: Reason


class DecisionBody(Said):
    """A decision by somebody who was shown the payload of this hash.

    With `challenge_id` and `credential` the person's passkey signed the approval itself: the options come from
    `POST step-up/options` with the approval's `binds`. Without them the session's last proof of identity counts.
    """

    decision: Literal["approve", "refuse"]
    reason: OptionalReason = ""
    payload_sha256: Sha256
    challenge_id: ChallengeId | None = None
    credential: Credential | None = None


class WithdrawalBody(Said):
    """Why a request is taken back."""

    reason: OptionalReason = ""


class ApprovalStep(Document):
    """One state that an approval came to, and the server's signature of the history up to it."""

    state: State
    at: Time
    expires_at: Time
    person_id: str
    name: str
    roles: list[Role]
    source: Source
    reason: str
    mark: Mark
    solo_reason: str
    method: Method | None = Field(description="How an approver proved who they are; null at every other state.")
    key_id: str
    signature: str


class ApprovalRow(Document):
    """An approval as it stands now."""

    id: str
    kind: ApprovalKind
    what: str = Field(description="What is carried out, in words.")
    state: State
    payload: dict[str, Any]
    payload_sha256: Sha256
    binds: Sha256 = Field(description="Hash of the request itself: what an approver's passkey signs as its challenge.")
    reason: str
    requester_id: str
    requester: str
    asked_at: Time
    expires_at: Time = Field(description="When the present state expires.")
    mark: Mark = Field(description="By what one person stood in for two: SOLO, BOOTSTRAP, or empty.")
    four_eyes: bool
    own: bool = Field(description="Whether whoever asks for this document made the request.")
    obstacle: str | None = Field(description="Why whoever asks for this document cannot approve it now; null when they can.")
    obstacle_code: str | None
    obstacle_fix: str | None
    steps: list[ApprovalStep]


class ApprovalDocument(ApprovalRow):
    """An approval with its record, which can be checked without this server."""

    record: str = Field(description="The canonical text that is signed and kept: `kedge approval show ID --verify` checks it.")
    key: str = Field(description="The server's public key. Compare it with one that you had before.")


class ApprovalPage(Document):
    """Approvals, newest first."""

    items: list[ApprovalRow]
    next_cursor: Cursor | None
