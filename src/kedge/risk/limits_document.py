"""Limits as documents of an account: numbered, named by their content, each with an owner, a reason and who made it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from kedge.domain.errors import IntegrityError
from kedge.domain.events import LimitsChanged
from kedge.domain.orders import Side
from kedge.risk.limits import Limits

DOCUMENT_SCHEMA: Final = "kedge/limits/v1"
OVERRIDE_SCHEMA: Final = "kedge/order-override/v1"


class LimitsDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One document; what it says holds from when it was made until another one supersedes it.

    Attributes
    ----------
    number : int
        Counted from 1 in each account, without a gap.
    version : str
        First 16 hex digits of the limits' content hash; stands on every decision made under it.
    owner : str
        The role that answers for it.
    actor, approver, approval_id : str
        Who made it or asked for it; of a loosening, who approved it and by which approval, else empty.
    supersedes : str
        The version before it; empty of the first.
    limits, configured : dict
        Every limit, plain; and what the configuration asked for when it was made, so that a changed configuration is told from one that a
        document has overtaken.
    """

    account: str
    number: Annotated[int, msgspec.Meta(ge=1)]
    version: str
    owner: str
    reason: str
    actor: str
    made_wall_ns: int
    supersedes: str
    limits: dict[str, Any]
    configured: dict[str, Any]
    approver: str = ""
    approval_id: str = ""
    schema: str = DOCUMENT_SCHEMA

    def typed(self) -> Limits:
        """The limits themselves."""
        return Limits.from_plain(self.limits)

    def event(self, ts_ns: int) -> LimitsChanged:
        """What an engine is told of it."""
        return LimitsChanged(ts_ns, self.typed().plain(), self.version, self.number, self.actor, self.reason, self.approval_id)


def check_document(document: LimitsDocument, before: LimitsDocument | None) -> None:
    """Refuse a document that is not what its names say, or that does not follow the one before it.

    Raises
    ------
    IntegrityError
        It was changed after it was made, or another one is missing.
    """
    what = f"limits document {document.number} of {document.account}"
    fix = "keep it as evidence, and restore the folder from a backup"
    if document.schema != DOCUMENT_SCHEMA or document.typed().version != document.version:
        raise IntegrityError(what, why=f"its content is {document.typed().version}, it says {document.version}", fix=fix)
    number, version = (0, "") if before is None else (before.number, before.version)
    if (document.number, document.supersedes) != (number + 1, version):
        raise IntegrityError(what, why=f"it follows {document.supersedes or 'nothing'}, not number {number} {version}", fix=fix)


class OverrideGrant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two people's leave for one order to pass some rules; `qty` is in the base currency. See `OverrideGranted`."""

    approval_id: str
    account: str
    instrument: str
    side: Side
    qty: str
    rules: tuple[str, ...]
    made_wall_ns: int
    expires_wall_ns: int
    requester: str
    approver: str
    reason: str
    schema: str = OVERRIDE_SCHEMA
