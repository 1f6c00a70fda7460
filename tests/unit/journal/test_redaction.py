"""Secrets never reach the journal's bytes, whatever field they come in."""

from __future__ import annotations

import typing

import msgspec
import pytest

from kedge.domain import events, outputs
from kedge.domain.errors import InvalidInput
from kedge.domain.orders import ApprovedOrder, OrderIntent, OrderKind, Side, TimeInForce
from kedge.domain.record import DataSource
from kedge.journal import REDACTED, Redactor, verify_rows
from kedge.journal.redaction import FREE_TEXT
from kedge.storage import MemoryJournal

CANARY = 'canary/"7f3a9c\\é'

IDS_AND_CODES = {
    "instrument",
    "venue_order_id",
    "code",
    "fill_id",
    "from_run",
    "from_hash",
    "risk_state",
    "funding_id",
    "cash_id",
    "command_id",
    "client_order_id",
    "timer_id",
    "decision_id",
    "prediction_id",
    "model_sha256",
    "features_sha256",
    "score_hex",
    "probability_hex",
    "veto",
    "strategy",
    "limits_version",
    "version",
    "approval_id",
    "requester",
    "approver",
    "bound_by",
    "severity",
    "state",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("api_key=AbC123 and more", f"api_key={REDACTED} and more"),
        ("secret: hunter2, then", f"secret: {REDACTED}, then"),
        ('{"password": "two words"}', f'{{"password": {REDACTED}}}'),
        ("BYBIT_API_SECRET='x y'", f"BYBIT_API_SECRET={REDACTED}"),
        ("Authorization: Basic dXNlcjpwdw==", f"Authorization: {REDACTED}"),
        ("sent Bearer abc.def-ghi", f"sent Bearer {REDACTED}"),
        ("see https://user:pw@host/path", f"see https://{REDACTED}@host/path"),
        ("key AKIAABCDEFGHIJKLMNOP lost", f"key {REDACTED} lost"),
        ("token ghp_abcdefghijklmnop1234", f"token {REDACTED}"),
        ("jwt eyJhbGciOi.eyJzdWIiOi.c2lnbmF0", f"jwt {REDACTED}"),
        ("10003 invalid key aB3dE6gH9jK2mN5pQ8", f"10003 invalid key {REDACTED}"),
        ("-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\nrest", f"{REDACTED}\nrest"),
        ("-----BEGIN EC PRIVATE KEY-----\nMC4C", REDACTED),
    ],
)
def test_what_looks_like_a_credential_is_blanked_and_stays_blank(text, expected):
    redactor = Redactor()
    assert redactor.text(text) == expected
    assert redactor.text(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "trend up: 20-bar mean above 100-bar mean by 35 bps",
        "order 0123456789abcdef0123456789abcdef filled",
        "insufficient margin: needed 12.5 USDT",
        "stop at 2024-01-01T00:00:00Z on bybit-linear:BTCUSDT",
    ],
)
def test_ordinary_reasons_and_ids_are_left_alone(text):
    assert Redactor().text(text) == text


def test_settings_are_blanked_by_name_and_by_value_at_any_depth():
    settings = {
        "api_key": "k",
        "bybitApiSecret": 12345,
        "nested": [{"db_password": ["a"], "url": "postgres://u:p@h/d"}],
        "token": "",
        "use_token": True,
        "passphrase": None,
        "lookback": 20,
        CANARY: CANARY,
    }
    assert Redactor([CANARY]).mapping(settings) == {
        "api_key": REDACTED,
        "bybitApiSecret": REDACTED,
        "nested": [{"db_password": REDACTED, "url": f"postgres://{REDACTED}@h/d"}],
        "token": "",
        "use_token": True,
        "passphrase": None,
        "lookback": 20,
        REDACTED: REDACTED,
    }


@pytest.mark.parametrize("text", ["x" * 200_000, "eyJ-" * 5_000, "a." * 50_000, "secret " * 20_000, "a://" * 20_000, "Aa-" * 50_000])
def test_long_texts_are_looked_through_once_and_left_as_they_are(text):
    assert Redactor().text(text) == text


def test_a_secret_inside_another_leaves_nothing_behind():
    assert Redactor(["abcdefgh", "abcdefgh-tail"]).text("x abcdefgh-tail y") == f"x {REDACTED} y"


def test_a_short_secret_is_refused_without_showing_it():
    with pytest.raises(InvalidInput) as caught:
        Redactor(["hunter2"])
    assert "hunter2" not in str(caught.value)
    assert CANARY not in repr(Redactor([CANARY]))


def _text_fields(union):
    for kind in typing.get_args(union):
        for name, hint in typing.get_type_hints(kind).items():
            if hint is str:
                yield kind, name


@pytest.mark.parametrize(("kind", "field"), [*_text_fields(events.Event), *_text_fields(outputs.Output)])
def test_every_text_field_is_free_text_or_known_as_an_id_or_code(kind, field):
    assert (field in FREE_TEXT.get(kind, ())) != (field in IDS_AND_CODES)


def test_every_free_text_field_exists():
    for kind, fields in FREE_TEXT.items():
        assert set(fields) <= set(kind.__struct_fields__)


def _examples():
    order = OrderIntent(
        client_order_id="c1",
        decision_id=CANARY,
        strategy="trend",
        instrument="v:BTCUSDT",
        side=Side.BUY,
        kind=OrderKind.MARKET,
        time_in_force=TimeInForce.IOC,
        qty_lots=1,
    )
    decided = outputs.Decided(
        decision_id="d1", strategy="trend", instrument="v:BTCUSDT", exposure_e8=0, target_lots=0, mark_ticks=1, equity_e8=0, reason=CANARY
    )
    yield events.OrderRejected(1, "c1", "10003", f"bad key {CANARY}"), ()
    yield events.OrderAccepted(2, "c1", CANARY), ()
    yield events.CommandGiven(3, events.Command.HALT, CANARY, f"password={CANARY}"), ()
    yield events.TimerFired(4, "t1"), (decided, outputs.OrderSent(approved=ApprovedOrder(order=order, limits_version=CANARY)))
    yield (
        events.RunEnded(5, f"in the middle{CANARY}of a word"),
        (outputs.RiskStateChanged(state="HALTED", code="X", observed=CANARY, limit="0"),),
    )


def test_a_configured_secret_never_reaches_the_bytes_of_any_record(key, run_started):
    journal = MemoryJournal(signer=key, source="live", redactor=Redactor([CANARY]))
    label = DataSource(label=CANARY, sha256="0" * 64, rows=1, first_ts_ns=0, last_ts_ns=1)
    journal.start(msgspec.structs.replace(run_started, settings={"x": [CANARY]}, assumptions={"y": CANARY}, account=CANARY, data=(label,)))
    for event, wanted in _examples():
        journal.commit(event, wanted)
    journal.flush()
    everything = b"\n".join(body for _, _, body in journal.rows)
    escaped = msgspec.json.encode(CANARY)[1:-1]
    assert escaped not in everything
    assert b"7f3a9c" not in everything
    assert len(list(journal.records())) == 6
    assert verify_rows(journal.rows, key.public).ok


def test_the_default_redactor_works_on_reasons_without_configuration(key, run_started):
    journal = MemoryJournal(signer=key, source="live")
    journal.start(run_started)
    journal.commit(events.OrderRejected(1, "c1", "10003", "sent Bearer abc.def-ghi"), ())
    journal.flush()
    assert next(journal.records(start_seq=1)).event.reason == f"sent Bearer {REDACTED}"
