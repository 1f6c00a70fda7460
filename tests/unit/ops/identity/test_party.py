"""Whom passkeys are for, and the small parts of their texts."""

from __future__ import annotations

import pytest

from kedge.domain.errors import InvalidConfig
from kedge.ops.identity.passkeys import Party, credential_id_of


@pytest.mark.parametrize(
    ("origin", "rp_id"),
    [
        ("http://localhost:8080", "localhost"),
        ("https://kedge.example.org", "kedge.example.org"),
        ("https://kedge.example.org:8443", "kedge.example.org"),
    ],
)
def test_a_party_is_the_host_of_its_origin(origin: str, rp_id: str) -> None:
    assert Party.of(origin) == Party(rp_id, (origin,))


@pytest.mark.parametrize(
    "origin",
    [
        "http://127.0.0.1:8080",
        "https://[::1]:8080",
        "http://kedge.example.org",
        "https://kedge.example.org/path",
        "https://a@b.example",
        "localhost:8080",
        "",
        "file:///x",
        "https://x.example?q",
    ],
)
def test_an_origin_that_passkeys_cannot_have_is_refused(origin: str) -> None:
    with pytest.raises(InvalidConfig, match="public origin"):
        Party.of(origin)


def test_ids_of_keys_are_hex_here_and_base64url_there() -> None:
    assert credential_id_of({"id": "AP8Q"}) == "00ff10"
    for strange in ({}, {"id": None}, {"id": "A"}, {"id": "A" * 1400}, {"id": "\udcff"}):
        assert credential_id_of(strange) == ""
