"""Canaries: secrets that go through a real server, good and failing, and then everything it wrote or said is searched for them."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.people_session import DEVICE, SESSION, Answer, Browser, Served, bearer, first_person, serving

PASSWORD = "canary-Quokka-7-lantern-orbit"
WRONG = "canary-Wombat-3-never-right"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, dict[str, str], str]]:
    """A server after a day's work and after its end; what was secret, and all that it answered beyond what it had to show once."""
    with serving(tmp_path_factory.mktemp("canaries") / "state") as served:
        secrets, answers = _work(served)
        secrets = {name: text for name, text in secrets.items() if text}
        answers += _of_process(served.process.pid)
        answers += served.ask("GET", "/metrics").text + served.ask("GET", "/health").text
        answers += served.end()
        yield served, secrets, answers


def _work(served: Served) -> tuple[dict[str, str], str]:
    assert served.setup_url is not None
    secrets: dict[str, str] = {"first link": served.setup_url.partition("#")[2]}
    ada = first_person(served)
    secrets["cookie after set-up"] = ada.cookies[SESSION]
    ada.add_password(PASSWORD)
    secrets |= {"password": PASSWORD, "wrong password": WRONG, "totp secret": ada.totp_secret}
    secrets |= {f"recovery code {number}": code for number, code in enumerate(ada.recovery_codes)}
    secrets["totp raw"] = base64.b32decode(ada.totp_secret).hex()
    secrets["token"] = ada.token("read", "brake:engage")
    secrets["invitation"] = ada.invitation("ivy", "trader").partition("#")[2]
    ivy = Browser(served)
    offer = ivy.post("/api/v1/setup/password", {"token": secrets["invitation"], "password": PASSWORD + "-ivy"})
    secrets |= {"second password": PASSWORD + "-ivy", "second totp": offer.body["totp_secret"], "ticket": offer.body["ticket"]}
    begun = ada.post("/api/v1/device-codes", {"label": "x", "scopes": ["read"]}).body
    secrets["device code"] = begun["device_code"]
    answers = [ada.post(f"/api/v1/device-codes/{begun['user_code']}/approval", {"approve": True}).text]
    secrets["device token"] = ada.post("/api/v1/device-tokens", {"device_code": begun["device_code"]}).body["token"]
    stream = ada.post("/api/v1/stream-tickets").body["ticket"]
    answers += [served.ask("GET", f"/ws/v1?ticket={stream}").text, served.ask("GET", f"/api/v1/me?ticket={stream}").text]
    secrets["stream ticket"] = stream
    answers += [one.text for one in _failures(served, ada, secrets)]
    for path in ("me", "me/tokens", "me/sessions", "me/passkeys", "people", "acts?limit=500", "approvals", "commands", "overview", "roles"):
        answers.append(ada.ask("GET", f"/api/v1/{path}").text)
    secrets["device cookie"] = ada.cookies[DEVICE].rpartition(".")[2]
    secrets["cookie"] = ada.step_up().cookies[SESSION]
    answers.append(served.ask("GET", "/api/v1/me", Cookie=f"{SESSION}={secrets['cookie'][:-1]}g").text)
    return secrets, "\n".join(answers)


def _failures(served: Served, ada: Browser, secrets: dict[str, str]) -> list[Answer]:
    """The same secrets in the wrong places, as people and broken programs put them."""
    sent = [
        served.post("/api/v1/sign-in/password", {"name": "ada", "password": WRONG, "code": secrets["recovery code 1"]}),
        served.post("/api/v1/sign-in/password", {"name": WRONG, "password": "ada", "code": "1"}, address="127.0.9.251"),
        served.post("/api/v1/sign-in/password", {"name": "ada", "password": [WRONG], "code": {WRONG: secrets["recovery code 2"]}}),
        served.post("/api/v1/sign-in/password", {"name": "ada", "pasword": WRONG, "code": "1", "password": WRONG * 40}),
        served.ask("POST", "/api/v1/sign-in/password", f'{{"name": "ada", "password": "{WRONG}" "code"'.encode()),
        served.ask("POST", "/api/v1/sign-in/password", WRONG.encode(), **{"Content-Type": "text/plain"}),
        served.post("/api/v1/setup/password", {"token": secrets["invitation"] + "0", "password": WRONG}),
        served.post("/api/v1/setup/totp", {"ticket": secrets["ticket"], "code": "000000"}),
        served.post("/api/v1/setup/totp", {"ticket": WRONG, "code": "000000"}),
        served.post("/api/v1/device-tokens", {"device_code": secrets["device code"]}),
        served.ask("GET", "/api/v1/me", **bearer(secrets["token"][:-1] + "_")),
        served.ask("GET", "/api/v1/me", **bearer(secrets["token"], Cookie=f"{SESSION}={secrets['cookie after set-up']}")),
        served.ask("GET", f"/api/v1/overview?token={secrets['token']}"),
        ada.post("/api/v1/me/password", {"password": "ada"}),
        ada.post("/api/v1/step-up/password", {"password": WRONG, "code": secrets["recovery code 3"]}),
        ada.make("/api/v1/me/tokens", {"label": "again", "scopes": ["read"]}, **{"Idempotency-Key": "same"}),
        ada.make("/api/v1/me/tokens", {"label": "again", "scopes": ["read"]}, **{"Idempotency-Key": "same"}),
    ]
    made = sent[-2]
    secrets["second token"] = made.body["token"]
    sent.remove(made)
    return sent


def _of_process(process: int) -> str:
    """What anybody with `ps` sees of the server and its children."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if folder.name == str(process) or parent == str(process):
                found.append((folder / "cmdline").read_text() + (folder / "environ").read_bytes().decode("utf-8", "replace"))
        except OSError:  # it ended meanwhile
            continue
    assert found
    return "\n".join(found)


def forms(secret: str) -> list[bytes]:
    """The ways in which a secret may have been written."""
    raw = secret.encode()
    found = [raw, base64.b64encode(raw).rstrip(b"="), raw.hex().encode()]
    return [*found, raw.replace(b"-", b"")] if secret.count("-") == 3 else found


def test_no_secret_is_in_any_file_that_the_server_wrote(run: tuple[Served, dict[str, str], str]) -> None:
    served, secrets, _ = run
    files = [path for top in (served.state, served.printed) for path in top.rglob("*") if path.is_file()]
    assert {"people.sqlite", "journal.sqlite", "server.jsonl"} <= {path.name for path in files}
    for path in files:
        written = path.read_bytes()
        for name, secret in secrets.items():
            assert not any(form in written for form in forms(secret)), f"{name} in {path.name}"


def test_no_secret_is_in_an_answer_a_list_a_figure_or_the_list_of_processes(run: tuple[Served, dict[str, str], str]) -> None:
    _, secrets, answers = run
    assert len(answers) > 10_000
    for name, secret in secrets.items():
        if name != "stream ticket":  # a test that sends it in an address is told that very address
            assert secret not in answers, name


def test_what_is_planted_can_be_found(run: tuple[Served, dict[str, str], str]) -> None:
    served, secrets, _ = run
    assert len(secrets) >= 25
    assert len(set(secrets.values())) == len(secrets)
    found = json.dumps(sorted(os.listdir(served.state / "people")))
    assert "sealing.key" in found
    store = b"".join(path.read_bytes() for path in (served.state / "people").glob("people.sqlite*"))
    assert b"$argon2id$" in store
    assert b"ivy" in store
