"""One-time codes against the table of RFC 6238."""

from __future__ import annotations

import base64

import pytest

from kedge.ops.identity.totp import fitting_step, qr_svg, secret_text, totp_uri

RFC_SECRET = base64.b32encode(b"12345678901234567890").decode()
NS = 10**9


@pytest.mark.parametrize(
    ("at_s", "code"), [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"), (2000000000, "279037")]
)
def test_the_codes_of_the_standard_fit(at_s: int, code: str) -> None:
    """Last six digits of appendix B, SHA-1."""
    assert fitting_step(RFC_SECRET, code, now_wall_ns=at_s * NS, last_step=None) == at_s // 30


@pytest.mark.parametrize(("off_s", "fits"), [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_one_step_of_clock_error_is_forgiven(off_s: int, fits: bool) -> None:
    found = fitting_step(RFC_SECRET, "005924", now_wall_ns=(1234567890 + off_s) * NS, last_step=None)
    assert (found == 1234567890 // 30) is fits


def test_a_step_that_was_used_fits_no_more_nor_an_older_one() -> None:
    step = 1234567890 // 30
    assert fitting_step(RFC_SECRET, "005924", now_wall_ns=1234567890 * NS, last_step=step) is None
    assert fitting_step(RFC_SECRET, "005924", now_wall_ns=1234567890 * NS, last_step=step + 1) is None
    assert fitting_step(RFC_SECRET, "005924", now_wall_ns=1234567890 * NS, last_step=step - 1) == step


@pytest.mark.parametrize("code", ["", "5924", "00592", "0059244", "abcdef", "\udcff", "٠٠٥٩٢٤", "1" * 10_000])
def test_what_is_no_code_fits_nothing(code: str) -> None:
    assert fitting_step(RFC_SECRET, code, now_wall_ns=1234567890 * NS, last_step=None) is None


def test_blanks_around_a_code_are_nothing() -> None:
    assert fitting_step(RFC_SECRET, " 005924\n", now_wall_ns=1234567890 * NS, last_step=None) is not None


def test_a_clock_at_its_beginning_does_no_harm() -> None:
    assert fitting_step(RFC_SECRET, "000000", now_wall_ns=0, last_step=None) is None


def test_the_address_names_the_system_and_the_person_and_is_drawn() -> None:
    uri = totp_uri(secret_text(b"12345678901234567890"), "ada")
    assert uri == f"otpauth://totp/Kedge:ada?secret={RFC_SECRET}&issuer=Kedge"
    drawn = qr_svg(uri)
    assert drawn.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert drawn.endswith("</svg>")
    assert "style" not in drawn
    assert "script" not in drawn
