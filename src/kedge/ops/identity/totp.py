"""One-time codes of an authenticator app (RFC 6238): six digits, 30 seconds, one step of clock error either way.

Rules: a code counts once (the caller keeps the newest step used); all three steps are compared whatever fits, so that time tells nothing.
"""

from __future__ import annotations

import base64
import hmac
import io
from typing import Final

import pyotp
import segno

STEP_S: Final = 30
SECRET_BYTES: Final = 20
"""As long as the HMAC's own output, as RFC 4226 wants."""
CODE_DIGITS: Final = 6
ISSUER: Final = "Kedge"
_NS: Final = 1_000_000_000


def secret_text(raw: bytes) -> str:
    """The secret as people type it into an app: base32."""
    return base64.b32encode(raw).decode()


def totp_uri(secret: str, name: str) -> str:
    """What the QR code says."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=ISSUER)


def qr_svg(text: str) -> str:
    """An SVG document that draws the text as a QR code, without styles or scripts; it is whole by itself, also inside an `img`."""
    drawn = io.BytesIO()
    segno.make(text, error="m").save(
        drawn, kind="svg", xmldecl=False, svgns=True, nl=False, scale=4, border=4, dark="#000", light="#fff", svgclass=None, lineclass=None
    )
    return drawn.getvalue().decode()


def fitting_step(secret: str, code: str, *, now_wall_ns: int, last_step: int | None) -> int | None:
    """The time step whose code this is; None where it is none of the three, or not newer than the last that was used."""
    now = now_wall_ns // _NS // STEP_S
    generator = pyotp.TOTP(secret, digits=CODE_DIGITS, interval=STEP_S)
    given = code.strip().encode("utf-8", "replace")
    found: int | None = None
    for step in (now - 1, now, now + 1):
        fits = hmac.compare_digest(generator.generate_otp(max(0, step)).encode(), given)
        if fits and (last_step is None or step > last_step):
            found = step
    return found
