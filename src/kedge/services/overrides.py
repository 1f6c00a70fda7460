"""Overrides of an account as files, `<state>/limits/<account>/overrides/<approval>.json`: how they reach the trader.

Rules: a file is whole when its name is seen, and never changed; the trader reads each once, and its engine uses each once whoever dies.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from kedge.domain.canonical import encode
from kedge.domain.errors import RecordingFailed
from kedge.risk.limits_document import OVERRIDE_SCHEMA, OverrideGrant
from kedge.services.limits_store import FOLDER
from kedge.services.whole_files import put_new

OVERRIDES: Final = "overrides"


class OverrideFiles:
    """The overrides of one account."""

    def __init__(self, state: Path, account: str) -> None:
        self.folder = Path(state) / FOLDER / account / OVERRIDES
        self.account = account

    def put(self, grant: OverrideGrant) -> None:
        """Leave one for the trader; the same one again is that one.

        Raises
        ------
        RecordingFailed
            It could not be made durable.
        """
        try:
            put_new(self.folder / f"{grant.approval_id}.json", encode(grant))
        except FileExistsError:
            return
        except OSError as error:
            raise RecordingFailed(f"cannot write to {self.folder}", why=str(error), fix="free disk space or mend the folder") from None

    def names(self) -> list[str]:
        """Approvals that an override was left for, sorted."""
        try:
            found = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        return sorted(name.removesuffix(".json") for name in found if name.endswith(".json") and not name.startswith("."))

    def read(self, approval_id: str) -> OverrideGrant | None:
        """One override; None where the file is none of this account: it lets nothing pass."""
        try:
            grant = msgspec.json.decode((self.folder / f"{approval_id}.json").read_bytes(), type=OverrideGrant)
        except (OSError, msgspec.DecodeError):
            return None
        whose = (grant.schema, grant.account, grant.approval_id)
        return grant if whose == (OVERRIDE_SCHEMA, self.account, approval_id) else None
