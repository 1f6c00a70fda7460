"""Signatures: the published vectors, what may not be shown, and which key makes which signer."""

from __future__ import annotations

import pickle

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from tests.unit.venues.bybit.fake_venue import KEY, SECRET

from kedge.domain.errors import AccessRefused
from kedge.venues.bybit.credentials import Credentials, Rung
from kedge.venues.bybit.signing import HmacSigner, RsaSigner, rest_headers, signer_for, socket_auth_args, trade_header

CURSOR = "category=linear&cursor=page_args%3Dfd4300ae-7847-404e-b947-b46980a4d140%26symbol%3D6%26&settleCoin=USDT"
ORDER = (
    '{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.010","price":"60000.10",'
    '"timeInForce":"PostOnly","orderLinkId":"tv-0001","positionIdx":0}'
)
SPACED = ORDER.replace(":", ": ").replace(",", ", ")
VECTORS = [
    (
        1700000000000,
        5000,
        "category=linear&limit=50&openOnly=0&symbol=BTCUSDT",
        "184fbcfda9caa311471eefa42139f7af6b802d18fcedd607c7e55f3183f22d15",
    ),
    (1700000001234, 10000, CURSOR, "75816d7781da5b16f18825252e1fd8e7fc1ca93d4fd0d4fa515a042b4df4884a"),
    (1700000002000, 5000, ORDER, "1c1ae805b88d71dfdf29ec153363f17fbfbff5a6147d7fb0220f47abab5cf77d"),
    (1700000002000, 5000, SPACED, "5b920d501bb28ea3d06caf6971d5445ac5b8dfcc81c3a9fdc860f6d95a3ffd64"),
    (1700000003000, 5000, "", "3ed1f44948610db8f2c1a17c82c9b9ac83bc772b23c81f87fc453faf7ee8c39d"),
    (1700000004000, 20000, "{}", "7e5b7baceaed8861d42d467143ed21648e47a338bea152fd72befa529f55a10e"),
]


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


@pytest.mark.parametrize(("timestamp_ms", "window_ms", "payload", "signature"), VECTORS)
def test_a_request_is_signed_as_the_published_vectors_say(timestamp_ms: int, window_ms: int, payload: str, signature: str) -> None:
    headers = rest_headers(HmacSigner(KEY, SECRET), payload.encode(), timestamp_ms, window_ms)
    assert headers == {
        "X-BAPI-API-KEY": KEY,
        "X-BAPI-TIMESTAMP": str(timestamp_ms),
        "X-BAPI-RECV-WINDOW": str(window_ms),
        "X-BAPI-SIGN": signature,
    }


def test_a_socket_is_authenticated_as_the_published_vector_says() -> None:
    args = socket_auth_args(HmacSigner(KEY, SECRET), 1700000010000)
    assert args == [KEY, 1700000010000, "6f8d934077a14ed9cdb4c8543699952570c8317600466852619af349f02c4b40"]


def test_the_trade_header_carries_time_and_window_as_text() -> None:
    assert trade_header(1711001595207, 1000) == {"X-BAPI-TIMESTAMP": "1711001595207", "X-BAPI-RECV-WINDOW": "1000"}


def test_an_rsa_key_signs_so_that_its_public_half_verifies() -> None:
    import base64

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signer = signer_for(Credentials(Rung.TESTNET, KEY, pem(key)))
    assert isinstance(signer, RsaSigner)
    signature = base64.b64decode(signer.sign(b"GET/realtime1"))
    key.public_key().verify(signature, b"GET/realtime1", padding.PKCS1v15(), hashes.SHA256())


def test_a_shared_secret_makes_an_hmac_signer() -> None:
    assert isinstance(signer_for(Credentials(Rung.PAPER, KEY, SECRET)), HmacSigner)


@pytest.mark.parametrize(
    "secret", ["-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----", pem(ec.generate_private_key(ec.SECP256R1()))]
)
def test_a_private_key_that_cannot_sign_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(AccessRefused, match="RSA private key") as caught:
        signer_for(Credentials(Rung.TESTNET, KEY, secret))
    assert secret[30:60] not in str(caught.value)


def test_secrets_stand_in_no_repr_and_no_pickle() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    credentials = Credentials(Rung.LIVE, KEY, SECRET)
    shown = f"{credentials!r} {HmacSigner(KEY, SECRET)!r} {RsaSigner(KEY, pem(key))!r}"
    assert SECRET not in shown
    assert KEY not in shown
    assert "BEGIN" not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(credentials)
