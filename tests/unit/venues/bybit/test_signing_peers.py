"""Two clients written by others sign the same strings; ours must equal both, byte for byte."""

from __future__ import annotations

import hashlib
import random
import string
from typing import Any

import ccxt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pybit import _http_manager as pybit_http
from tests.unit.venues.bybit.fake_venue import KEY, SECRET

from kedge.venues.bybit.signing import HmacSigner, RsaSigner, rest_headers

ALPHABET = string.ascii_letters + string.digits + '%&=-_.,:{}[]" éßЖ漢😀'


@pytest.fixture(scope="module")
def peer() -> Any:
    return ccxt.bybit({"apiKey": KEY, "secret": SECRET})


def payloads(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return ["".join(chance.choices(ALPHABET, k=chance.randrange(0, 400))) for _ in range(count)]


def pybit_signature(payload: str, timestamp_ms: int, window_ms: int, secret: str = SECRET, use_rsa: bool = False) -> str:
    manager = pybit_http._V5HTTPManager(api_key=KEY, api_secret=secret, rsa_authentication=use_rsa)
    return str(manager._auth(payload, window_ms, timestamp_ms))


def test_a_thousand_random_payloads_are_signed_as_pybit_and_ccxt_sign_them(peer: Any) -> None:
    signer, chance = HmacSigner(KEY, SECRET), random.Random(1)
    manager = pybit_http._V5HTTPManager(api_key=KEY, api_secret=SECRET)
    for payload in payloads(1_000, seed=2):
        timestamp_ms, window_ms = chance.randrange(10**12, 2 * 10**12), chance.choice((1_000, 5_000, 20_000))
        ours = rest_headers(signer, payload.encode(), timestamp_ms, window_ms)["X-BAPI-SIGN"]
        text = f"{timestamp_ms}{KEY}{window_ms}{payload}"
        assert ours == manager._auth(payload, window_ms, timestamp_ms)
        assert ours == peer.hmac(peer.encode(text), peer.encode(SECRET), hashlib.sha256)


def test_requests_that_ccxt_builds_itself_carry_our_signature(peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    signer, chance = HmacSigner(KEY, SECRET), random.Random(3)
    for number in range(200):
        timestamp_ms = 1_700_000_000_000 + number
        monkeypatch.setattr(peer, "milliseconds", lambda at=timestamp_ms: at)
        params = {"category": "linear", "symbol": f"S{chance.randrange(10**6)}USDT", "cursor": f"a%3D{chance.random()}&b"}
        method = chance.choice(("GET", "POST"))
        path = "v5/order/realtime" if method == "GET" else "v5/order/create"
        built = peer.sign(path, "private", method, dict(params))
        payload = built["url"].partition("?")[2] if method == "GET" else built["body"]
        window_ms = int(built["headers"]["X-BAPI-RECV-WINDOW"])
        ours = rest_headers(signer, payload.encode(), timestamp_ms, window_ms)
        assert ours["X-BAPI-SIGN"] == built["headers"]["X-BAPI-SIGN"]
        assert ours["X-BAPI-TIMESTAMP"] == built["headers"]["X-BAPI-TIMESTAMP"]


def test_an_rsa_key_signs_as_pybit_and_ccxt_sign_with_it(peer: Any) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()
    signer = RsaSigner(KEY, text)
    for number, payload in enumerate(payloads(10, seed=4)):
        ours = rest_headers(signer, payload.encode(), 1_700_000_000_000 + number, 5_000)["X-BAPI-SIGN"]
        assert ours == pybit_signature(payload, 1_700_000_000_000 + number, 5_000, text, use_rsa=True)
        assert ours == peer.rsa(f"{1_700_000_000_000 + number}{KEY}5000{payload}", text)
