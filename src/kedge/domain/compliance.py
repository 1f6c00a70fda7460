"""The id under which supervision files a trade: derived from the decision behind it, the same wherever it is computed."""

from __future__ import annotations

from typing import Final

from kedge.domain.canonical import digest

COMPLIANCE_DIGITS: Final = 32


def compliance_id(decision_id: str) -> str:
    """First 32 hex digits of SHA-256 of `kedge/compliance/v1:` and the decision's id; '' where no decision of ours is."""
    return digest(f"kedge/compliance/v1:{decision_id}".encode())[:COMPLIANCE_DIGITS] if decision_id else ""
