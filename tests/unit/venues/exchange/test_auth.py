"""Signatures, time windows, keys: checked against the vectors of the protocol's reference."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from kedge.domain.errors import Conflict, InvalidInput
from kedge.domain.units import NS_PER_MS
from kedge.venues.exchange.api_keys import ApiKey, ApiKeys
from kedge.venues.exchange.auth import check_expires, check_permission, check_request, check_window, signature
from kedge.venues.exchange.codes import Code
from kedge.venues.exchange.routes import ANY_KEY, CONTRACTS, ORDERS, POSITIONS, ApiError, Permission

SECRET = "TESTSECRET0123456789abcdefABCDEF0123"
KEY = ApiKey(key="TESTKEY0123456789a", secret=SECRET, account="1")
ORDER = (
    b'{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.010","price":"60000.10",'
    b'"timeInForce":"PostOnly","orderLinkId":"tv-0001","positionIdx":0}'
)
SPACED = (
    b'{"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.010", "price": "60000.10", '
    b'"timeInForce": "PostOnly", "orderLinkId": "tv-0001", "positionIdx": 0}'
)
CURSOR = b"category=linear&cursor=page_args%3Dfd4300ae-7847-404e-b947-b46980a4d140%26symbol%3D6%26&settleCoin=USDT"
QUERY = b"category=linear&limit=50&openOnly=0&symbol=BTCUSDT"
VECTORS = [
    (1700000000000, 5000, QUERY, "184fbcfda9caa311471eefa42139f7af6b802d18fcedd607c7e55f3183f22d15"),
    (1700000001234, 10000, CURSOR, "75816d7781da5b16f18825252e1fd8e7fc1ca93d4fd0d4fa515a042b4df4884a"),
    (1700000002000, 5000, ORDER, "1c1ae805b88d71dfdf29ec153363f17fbfbff5a6147d7fb0220f47abab5cf77d"),
    (1700000002000, 5000, SPACED, "5b920d501bb28ea3d06caf6971d5445ac5b8dfcc81c3a9fdc860f6d95a3ffd64"),
    (1700000003000, 5000, b"", "3ed1f44948610db8f2c1a17c82c9b9ac83bc772b23c81f87fc453faf7ee8c39d"),
    (1700000004000, 20000, b"{}", "7e5b7baceaed8861d42d467143ed21648e47a338bea152fd72befa529f55a10e"),
]
SOCKET_SIGN = "6f8d934077a14ed9cdb4c8543699952570c8317600466852619af349f02c4b40"
SOCKET_EXPIRES = 1700000010000


def signed(at: int, window: int | str, sign: str, key: str = KEY.key) -> CIMultiDict[str]:
    return CIMultiDict({"x-bapi-api-key": key, "X-Bapi-Timestamp": str(at), "X-BAPI-RECV-WINDOW": str(window), "X-BAPI-SIGN": sign})


def outcome(key: ApiKey, *, wall_ns: int, ip: str = "127.0.0.1") -> ApiKey | ApiError:
    at, window, payload, sign = VECTORS[0]
    return check_request(ApiKeys([key]), signed(at, window, sign), ip, payload, wall_ns)


@pytest.mark.parametrize(("at", "window", "payload", "sign"), VECTORS)
def test_every_vector_of_the_protocol_is_accepted(at: int, window: int, payload: bytes, sign: str) -> None:
    assert check_request(ApiKeys([KEY]), signed(at, window, sign), "::1", payload, at * NS_PER_MS) is KEY


@pytest.mark.parametrize(("at", "window", "payload", "sign"), VECTORS)
def test_one_byte_more_in_the_payload_is_another_signature(at: int, window: int, payload: bytes, sign: str) -> None:
    refused = check_request(ApiKeys([KEY]), signed(at, window, sign), "::1", payload + b" ", at * NS_PER_MS)
    assert isinstance(refused, ApiError)
    assert refused.code == Code.SIGNATURE
    assert refused.message == f"error sign! origin_string[{at}{KEY.key}{window}{payload.decode()} ]"


def test_the_secret_signs_and_is_never_shown() -> None:
    assert signature(SECRET.encode(), b"GET/realtime1700000010000") == SOCKET_SIGN
    assert SECRET not in repr(KEY)
    assert SECRET not in str(ApiKeys([KEY]).find(KEY.key))


@pytest.mark.parametrize(("ahead_ms", "accepted"), [(-5000, True), (-5001, False), (0, True), (999, True), (1000, False), (1002, False)])
def test_the_window_reaches_back_by_its_width_and_less_than_a_second_ahead(ahead_ms: int, accepted: bool) -> None:
    ours = 1_700_000_000_000
    refused = check_window(str(ours + ahead_ms), "5000", ours * NS_PER_MS + 999_999)
    assert (refused is None) == accepted
    if refused is not None:
        assert refused.code == Code.TIMESTAMP
        assert refused.message.endswith(f"req_timestamp[{ours + ahead_ms}],server_timestamp[{ours}],recv_window[5000]")


def test_a_wide_window_does_not_admit_a_fast_clock() -> None:
    assert check_window(1_000_002_000, 60_000, 1_000_000_000 * NS_PER_MS) is not None


def test_an_absent_window_is_five_seconds_and_numbers_are_as_good_as_texts() -> None:
    ours = 1_700_000_000_000
    for window in ("", None, 5000, "5000"):
        assert check_window(ours - 5000, window, ours * NS_PER_MS) is None
        assert check_window(ours - 5001, window, ours * NS_PER_MS) is not None


@pytest.mark.parametrize("bad", ["soon", "", None, True, 1.5, "-1", "1" * 20, "١٢"])
def test_a_time_that_is_no_whole_number_is_a_wrong_parameter(bad: object) -> None:
    refused = check_window(bad, 5000, 0)
    assert refused is not None
    assert refused.code == Code.PARAMETER


@pytest.mark.parametrize("missing", ["X-BAPI-API-KEY", "X-BAPI-TIMESTAMP", "X-BAPI-SIGN"])
def test_a_missing_header_is_named_by_its_empty_value(missing: str) -> None:
    sent = signed(1, 5000, "abc")
    del sent[missing]
    refused = check_request(ApiKeys([KEY]), sent, "::1", b"", 0)
    assert isinstance(refused, ApiError)
    assert refused.code == Code.PARAMETER
    assert "[]" in refused.message


def test_an_unknown_key_is_refused_before_its_time_is_looked_at() -> None:
    refused = check_request(ApiKeys([KEY]), signed(1, 1, "abc", key="ANOTHER"), "::1", b"", 10**18)
    assert refused == ApiError(Code.API_KEY)


def test_a_key_ends_at_its_expiry() -> None:
    at_ns = VECTORS[0][0] * NS_PER_MS
    lasting = ApiKey(key=KEY.key, secret=SECRET, account="1", expires_ns=at_ns + 1)
    assert outcome(lasting, wall_ns=at_ns) is lasting
    expired = outcome(lasting, wall_ns=at_ns + 1)
    assert isinstance(expired, ApiError)
    assert expired.code == Code.KEY_EXPIRED


def test_a_bound_key_opens_from_its_addresses_only() -> None:
    at_ns = VECTORS[0][0] * NS_PER_MS
    bound = ApiKey(key=KEY.key, secret=SECRET, account="1", ips=("203.0.113.7",))
    assert outcome(bound, wall_ns=at_ns, ip="203.0.113.7") is bound
    refused = outcome(bound, wall_ns=at_ns, ip="203.0.113.8")
    assert isinstance(refused, ApiError)
    assert refused.code == Code.UNMATCHED_IP


@pytest.mark.parametrize(("header", "code"), [("X-BAPI-API-KEY", 10003), ("X-BAPI-SIGN", 10004), ("X-BAPI-TIMESTAMP", 10001)])
def test_bytes_that_are_no_text_are_refused_in_words_that_can_be_sent(header: str, code: int) -> None:
    """The server hands such bytes on as surrogates, which no JSON can hold."""
    at, window, payload, sign = VECTORS[0]
    headers = signed(at, window, sign)
    headers[header] = b"\xff\xfe".decode("utf-8", "surrogateescape")
    refused = check_request(ApiKeys([KEY]), headers, "::1", payload, at * NS_PER_MS)
    assert isinstance(refused, ApiError)
    assert refused.code == code
    assert refused.message.encode()


def test_a_signature_that_is_not_ascii_is_wrong_and_not_a_crash() -> None:
    at, window, payload, _ = VECTORS[0]
    refused = check_request(ApiKeys([KEY]), signed(at, window, "é" * 64), "::1", payload, at * NS_PER_MS)
    assert isinstance(refused, ApiError)
    assert refused.code == Code.SIGNATURE


@pytest.mark.parametrize("expires", [SOCKET_EXPIRES, str(SOCKET_EXPIRES)])
def test_a_socket_opens_with_expiry_as_number_or_text(expires: object) -> None:
    assert check_expires(ApiKeys([KEY]), KEY.key, expires, SOCKET_SIGN, "::1", (SOCKET_EXPIRES - 1) * NS_PER_MS) is KEY


@pytest.mark.parametrize(
    ("key", "expires", "sign", "code"),
    [
        (KEY.key, SOCKET_EXPIRES, "0" * 64, Code.SIGNATURE),
        ("ANOTHER", SOCKET_EXPIRES, SOCKET_SIGN, Code.API_KEY),
        (KEY.key, "never", SOCKET_SIGN, Code.PARAMETER),
        (None, SOCKET_EXPIRES, SOCKET_SIGN, Code.PARAMETER),
        (KEY.key, SOCKET_EXPIRES, 7, Code.PARAMETER),
    ],
)
def test_a_socket_stays_shut_for_wrong_credentials(key: object, expires: object, sign: object, code: Code) -> None:
    refused = check_expires(ApiKeys([KEY]), key, expires, sign, "::1", 0)
    assert isinstance(refused, ApiError)
    assert refused.code == code


def test_an_expiry_that_is_not_ahead_is_refused() -> None:
    refused = check_expires(ApiKeys([KEY]), KEY.key, SOCKET_EXPIRES, SOCKET_SIGN, "::1", SOCKET_EXPIRES * NS_PER_MS)
    assert isinstance(refused, ApiError)
    assert refused.code == Code.SIGNATURE
    assert f"expires[{SOCKET_EXPIRES}]" in refused.message


def test_a_read_only_key_reads_and_changes_nothing() -> None:
    reader = ApiKey(key="R", secret="S", account="1", read_only=True)
    assert check_permission(reader, ORDERS, writes=False) is None
    assert check_permission(reader, ORDERS, writes=True) == ApiError(Code.PERMISSION)
    assert check_permission(reader, ANY_KEY, writes=True) == ApiError(Code.PERMISSION)


def test_any_one_of_the_permissions_opens_the_door() -> None:
    orders = ApiKey(key="O", secret="S", account="1", permissions=frozenset({Permission.ORDER}))
    derivatives = ApiKey(key="D", secret="S", account="1", permissions=frozenset({Permission.DERIVATIVES}))
    assert check_permission(orders, ORDERS, writes=True) is None
    assert check_permission(orders, POSITIONS, writes=True) == ApiError(Code.PERMISSION)
    assert check_permission(derivatives, POSITIONS, writes=True) is None
    assert check_permission(orders, CONTRACTS, writes=False) is None
    assert check_permission(ApiKey(key="N", secret="S", account="1", permissions=frozenset()), ANY_KEY, writes=False) is None


def test_keys_are_found_until_they_are_removed_and_never_doubled() -> None:
    keys = ApiKeys([KEY])
    with pytest.raises(Conflict, match="exists already"):
        keys.add(KEY)
    assert [entry.key for entry in keys] == [KEY.key]
    keys.remove(KEY.key)
    keys.remove(KEY.key)
    assert keys.find(KEY.key) is None


def test_a_key_without_a_secret_is_no_key() -> None:
    with pytest.raises(InvalidInput, match="secret"):
        ApiKey(key="K", secret="", account="1")
