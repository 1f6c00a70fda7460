"""`kedge serve` and the commands about people as processes of their own: set-up link, sign-in by code, an act, no secret written."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
from tests.integration.commands import environment, spawn

PASSWORD = "a lantern under nine rivers"
WAIT_S = 60.0


class Page:
    """A browser's page of the server: keeps its cookies and the CSRF token."""

    def __init__(self, url: str) -> None:
        self._host, self._cookies, self.csrf = urlsplit(url).netloc, dict[str, str](), ""
        self.secrets: list[str] = []

    def post(self, path: str, body: dict[str, Any]) -> Any:
        link = http.client.HTTPConnection(self._host, timeout=WAIT_S)
        headers = {"Content-Type": "application/json", "Origin": f"http://{self._host}", "X-Kedge-CSRF": self.csrf}
        headers |= {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())} if self._cookies else {}
        try:
            link.request("POST", f"/api/v1/{path}", json.dumps(body), headers)
            got = link.getresponse()
            document = json.loads(got.read())
            assert got.status < 300, document
            for line in got.headers.get_all("Set-Cookie") or ():
                name, _, rest = line.partition("=")
                self._cookies[name] = rest.split(";")[0]
            self.secrets += self._cookies.values()
            return document
        finally:
            link.close()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return environment(XDG_CONFIG_HOME=str(tmp_path / "config"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def server(state: Path, environ: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What `kedge serve` said when it stood."""
    arguments = [sys.executable, "-m", "kedge.apps.cli", "serve", "--port", "0", "--state-dir", str(state), "--json"]
    process = subprocess.Popen(arguments, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err) == (0, "")


@pytest.mark.slow
def test_from_the_set_up_link_to_an_act_in_the_journal_without_a_secret_written(
    server: dict[str, Any], state: Path, tmp_path: Path, environ: dict[str, str]
):
    here = ("--state-dir", state)
    page, setup = Page(server["url"]), server["setup_url"].split("#")[1]
    offer = page.post("setup/password", {"token": setup, "name": "ada", "display_name": "Ada", "password": PASSWORD})
    code = pyotp.TOTP(offer["totp_secret"]).now()
    done = page.post("setup/totp", {"ticket": offer["ticket"], "code": code})
    page.csrf = done["session"]["csrf"]

    arguments = [sys.executable, "-m", "kedge.apps.cli", "login", *map(str, here)]
    login = subprocess.Popen(arguments, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert login.stderr is not None
    said = ""
    while not (found := re.search(r"confirm the code (\S+)", said)):
        said += login.stderr.readline()
    page.post(f"device-codes/{found.group(1)}/approval", {"approve": True})
    out, _ = login.communicate(timeout=WAIT_S)
    assert login.returncode == 0
    assert "as ada" in out

    assert spawn("whoami", *here, "--json", env=environ).json["name"] == "ada"
    assert spawn("resume", "--reason", "by a person", *here, env=environ).code == 0
    assert spawn("halt", "--reason", "by hand", *here, env=environ).code == 0
    assert spawn("logout", *here, env=environ).code == 0
    refused = spawn("resume", "--reason", "again", *here, "--json", env=environ)
    assert (refused.code, refused.json["code"]) == (7, "NOT_SIGNED_IN")

    kept = (tmp_path / "config" / "kedge" / "credentials.json").read_text()
    assert json.loads(kept)["servers"] == {}
    written = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    secrets = [PASSWORD, setup, offer["totp_secret"], offer["ticket"], *done["recovery_codes"], *page.secrets]
    assert [secret for secret in secrets if secret.encode() in written] == []
    assert b"by a person" in written


@pytest.mark.slow
def test_ten_command_lines_at_once_each_leave_their_stop(server: dict[str, Any], state: Path, environ: dict[str, str]):
    answers: list[int] = []

    def halt(n: int) -> None:
        answers.append(spawn("halt", "--reason", f"n{n}", "--state-dir", state, env=environ).code)

    threads = [threading.Thread(target=halt, args=(n,)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [0] * 10
    link = http.client.HTTPConnection(urlsplit(server["url"]).netloc, timeout=WAIT_S)
    link.request("GET", "/api/v1/commands")
    rows = json.loads(link.getresponse().read())["items"]
    link.close()
    assert sorted(row["reason"] for row in rows) == [f"n{n}" for n in range(10)]
    assert {row["source"] for row in rows} == {"local"}
