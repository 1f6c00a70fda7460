"""Redaction at the writer: secrets never reach the journal's bytes.

Two nets. Free text (reasons, settings, labels) is searched for what looks like a credential before it is encoded;
secrets that are configured are searched for in the encoded bytes of every record, whatever field they are in.
Rather too much is blanked than too little. Redacting twice changes nothing, so a replay of redacted records is equal.
No pattern may look at a long text over and over: people can write long reasons.
Lower-case hex is left alone: hashes and ids look like that, and a hex secret is known by its name or by configuration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from kedge.domain import events, outputs
from kedge.domain.canonical import encode
from kedge.domain.errors import InvalidInput
from kedge.domain.events import Event
from kedge.domain.outputs import Output
from kedge.domain.people import Act
from kedge.domain.record import RunStarted
from kedge.journal.watch import WORDS

REDACTED: Final = "REDACTED"
"""Stands where a secret stood; fits every text field, ids included."""

SECRET_CHARS_MIN: Final = 8
"""A shorter configured secret would blank ordinary words."""

FREE_TEXT: Final[dict[type, tuple[str, ...]]] = {
    events.CashMoved: ("reason",),
    events.OrderRejected: ("reason",),
    events.OrderCanceled: ("reason",),
    events.OrderAmendRefused: ("reason",),
    events.QuoteLost: ("why",),
    events.StopUnconfirmed: ("why",),
    events.BooksDiffer: ("detail",),
    events.CommandGiven: ("actor", "reason"),
    events.LimitsChanged: ("actor", "reason"),
    events.OverrideGranted: ("reason",),
    events.BrakeTold: ("reason",),
    events.AccountInherited: ("reason", "limit"),
    events.RunEnded: ("reason",),
    outputs.Decided: ("reason", "observed", "limit"),
    outputs.OrderRefused: ("observed", "limit"),
    outputs.CancelSent: ("reason",),
    outputs.AmendSent: ("reason",),
    outputs.StopWanted: ("reason",),
    outputs.RiskStateChanged: ("observed", "limit"),
    outputs.AlertRaised: ("observed", "limit"),
}
"""Fields a person or a venue writes freely. All other text fields are ids and codes (a test walks them all)."""

_NAME = r"(?:api[_-]?key|secret|password|passwd|passphrase|token|private[_-]?key|credential|authorization)s?"
_SENSITIVE_NAME: Final = re.compile(_NAME + r"$", re.IGNORECASE)
_PATTERNS: Final = tuple(
    (re.compile(pattern, flags), into)
    for pattern, flags, into in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL, REDACTED),
        (r"(\bauthorization\s*[:=]\s*)(?:basic|digest|token)\s+\S+", re.IGNORECASE, rf"\1{REDACTED}"),
        (r"(\bbearer\s+)[\w.~+/=-]+", re.IGNORECASE, rf"\1{REDACTED}"),
        (rf"({_NAME}[\"']?\s*[:=]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s\"',;&}}]+)", re.IGNORECASE, rf"\1{REDACTED}"),
        (r"(\b[a-z][a-z0-9+.-]{0,30}://)[^/\s:@]*:[^/\s@]+@", re.IGNORECASE, rf"\1{REDACTED}@"),
        (r"\beyJ[\w-]{1,2000}\.[\w-]+\.[\w-]*", 0, REDACTED),
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", 0, REDACTED),
        (r"\b(?:gh[a-z]|github_pat|kedge_pat|glpat|xox[a-z]|sk|rk)[_-][\w-]{16,}", 0, REDACTED),
        (r"(?<![A-Za-z0-9])(?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{18,}(?![A-Za-z0-9])", 0, REDACTED),
    )
)

_Value = TypeVar("_Value", bound=msgspec.Struct)


class Redactor:
    """Blanks secrets in text, plain data and records.

    Parameters
    ----------
    secrets : sequence of str
        Configured secret values (keys, passwords), each at least `SECRET_CHARS_MIN` characters.

    Raises
    ------
    InvalidInput
        A secret is too short to be searched for. The message does not show it.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        if any(len(secret) < SECRET_CHARS_MIN for secret in secrets):
            raise InvalidInput(
                f"a configured secret is shorter than {SECRET_CHARS_MIN} characters",
                why="searching for it would blank ordinary words",
                fix="use a longer secret",
            )
        # longest first: a secret inside another one must not leave the rest of it behind
        self._secrets = tuple(sorted(set(secrets), key=len, reverse=True))
        self._needles = tuple(encode(secret)[1:-1] for secret in self._secrets)

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"

    def text(self, text: str) -> str:
        """The text without configured secrets and without what looks like a credential."""
        if not text:
            return text
        text = self._known(text)
        for pattern, into in _PATTERNS:
            text = pattern.sub(into, text)
        return text

    def mapping(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Plain data, at any depth: what stands under a secret's name is blanked, other text goes through `text`."""
        return {self._known(key): REDACTED if _is_secret(key, value) else self._plain(value) for key, value in data.items()}

    def run_started(self, record: RunStarted) -> RunStarted:
        """The first record with settings, assumptions and labels redacted."""
        return replace(
            record,
            settings=self.mapping(record.settings),
            assumptions=self.mapping(record.assumptions),
            data=tuple(replace(source, label=self.text(source.label)) for source in record.data),
        )

    def act(self, act: Act) -> Act:
        """An act with its name, reason and details redacted; its ids are left as they are."""
        return replace(act, name=self.text(act.name), reason=self.text(act.reason), details=self.mapping(act.details))

    def watched(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """A guard's record with its free words redacted, at any depth; ids and numbers are left as they are."""
        return {key: self.text(value) if key in WORDS and isinstance(value, str) else self._inner(value) for key, value in content.items()}

    def _inner(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self.watched(value)
        return [self._inner(one) for one in value] if isinstance(value, list | tuple) else value

    def step(self, event: Event, outputs: Sequence[Output]) -> tuple[Event, Sequence[Output]]:
        """An event and its outputs with their free text redacted."""
        return self._fields(event), tuple(self._fields(output) for output in outputs)

    def scrub(self, bodies: list[bytes]) -> list[bytes]:
        """Canonical bodies without configured secrets, wherever they stand; the same list where there are none."""
        if not self._needles:
            return bodies
        everything = b"\n".join(bodies)
        if not any(needle in everything for needle in self._needles):
            return bodies
        return [self._scrubbed(body) for body in bodies]

    def _scrubbed(self, body: bytes) -> bytes:
        if not any(needle in body for needle in self._needles):
            return body
        return encode(self._strings(msgspec.json.decode(body)))

    def _strings(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._known(value)
        if isinstance(value, dict):
            return {self._known(key): self._strings(inner) for key, inner in value.items()}
        return [self._strings(inner) for inner in value] if isinstance(value, list) else value

    def _fields(self, value: _Value) -> _Value:
        changed = {}
        for name in FREE_TEXT.get(type(value), ()):
            before = getattr(value, name)
            after = self.text(before)
            if after != before:
                changed[name] = after
        return replace(value, **changed) if changed else value

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.mapping(value)
        return [self._plain(inner) for inner in value] if isinstance(value, list | tuple) else value

    def _known(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text


def _is_secret(key: str, value: Any) -> bool:
    return bool(_SENSITIVE_NAME.search(key)) and value is not None and not isinstance(value, bool) and value not in ("", [], {})
