"""A `kedge serve` of its own, and people who use it over sockets: browsers with cookies and a software passkey, machines with tokens.

Nothing here shares memory with the server: what is asked, answered, printed and written is what anybody else would see.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyotp
from tests.integration.commands import environment
from tests.unit.services.people.authenticator import Authenticator

WAIT_S = 30.0
SESSION, DEVICE = "__Host-kedge", "__Host-kedge-device"
PASSWORD = "violet-anchor-9-marble-tide"
FRESH_NS = 300 * 10**9
_HOMES = itertools.cycle(range(1, 250))
"""The last number of the address that each browser comes from: every one has its own, as at home."""
RUN = "import sys; sys.argv = ['kedge', *sys.argv[1:]]; from kedge.apps.cli import main; sys.exit(main())"


class Answer(NamedTuple):
    """One answer; `body` is JSON where it is JSON. Status 0: the connection was closed instead."""

    status: int
    headers: dict[str, str]
    text: str
    body: Any
    cookies: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """Of a problem."""
        return str(self.body["code"]) if isinstance(self.body, dict) and "code" in self.body else ""


class Served:
    """One server process over a state folder, with whatever it says kept in files beside that folder."""

    def __init__(self, state: Path, **env: str) -> None:
        self.state = state
        self.printed = state.parent / f"{state.name}-printed"
        self.printed.mkdir(exist_ok=True)
        state.mkdir(mode=0o700, exist_ok=True)
        arguments = [sys.executable, "-c", RUN, "serve", "--port", "0", "--json", "--state-dir", str(state)]
        with (self.printed / "stderr").open("ab") as errors:
            self.process = subprocess.Popen(
                arguments,
                env=environment(XDG_CONFIG_HOME=str(state.parent / "no-config"), **env),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        assert self.process.stdout is not None
        told = ""
        while not told.rstrip().endswith("}"):
            line = self.process.stdout.readline()
            assert line, (self.printed / "stderr").read_text()
            told += line
        document = json.loads(told)
        self.url: str = document["url"]
        self.setup_url: str | None = document["setup_url"]
        self.port = int(self.url.rpartition(":")[2])
        self.origin = f"http://localhost:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, *, address: str = "127.0.0.1", **headers: str) -> Answer:
        """One request over a connection of its own from one of this machine's addresses, with exactly these headers."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Host": f"localhost:{self.port}", **({"Content-Type": "application/json"} if data is not None else {}), **headers}
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S, source_address=(address, 0))
        try:
            link.request(method, path, data, sent)
            got = link.getresponse()
            text = got.read().decode("utf-8", "replace")
        finally:
            link.close()
        told = {name.lower(): value for name, value in got.getheaders()}
        set_cookies = tuple(value for name, value in got.getheaders() if name.lower() == "set-cookie")
        return Answer(got.status, told, text, json.loads(text) if "json" in told.get("content-type", "") and text else None, set_cookies)

    def post(self, path: str, body: Any = None, *, address: str = "127.0.0.1", **headers: str) -> Answer:
        """As a program of nobody's."""
        return self.ask("POST", path, {} if body is None else body, address=address, **headers)

    def raw(self, sent: bytes) -> Answer:
        """Send bytes, and read the first answer there is."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as link:
            with contextlib.suppress(ConnectionError):
                link.sendall(sent)
            got = http.client.HTTPResponse(link, method=sent.split(b" ")[0].decode("latin-1"))
            try:
                got.begin()
                text = got.read().decode("utf-8", "replace")
            except (http.client.HTTPException, ConnectionError):
                return Answer(0, {}, "", None)
            finally:
                got.close()
        told = {name.lower(): value for name, value in got.getheaders()}
        return Answer(got.status, told, text, json.loads(text) if "json" in told.get("content-type", "") and text else None)

    def age_proof(self, session_id: str, by_ns: int = FRESH_NS + 10**9) -> None:
        """Let a session's last proof of identity be older, as if its person had gone for a coffee."""
        self._turn_back(session_id, "step_up_wall_ns", by_ns)

    def age_use(self, session_id: str, by_ns: int) -> None:
        """Let a session's last use be older."""
        self._turn_back(session_id, "seen_wall_ns", by_ns)

    def _turn_back(self, session_id: str, field: str, by_ns: int) -> None:
        with contextlib.closing(sqlite3.connect(self.state / "people" / "people.sqlite", timeout=WAIT_S)) as db, db:
            ((body,),) = db.execute("SELECT body FROM session WHERE session_id = ?", (session_id,)).fetchall()
            row = json.loads(body)
            row[field] -= by_ns
            canonical = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            db.execute("UPDATE session SET body = ? WHERE session_id = ?", (canonical, session_id))

    def end(self) -> str:
        """End it as Ctrl-C does; gives what it printed after its first document."""
        assert self.process.stdout is not None
        if self.process.stdout.closed:
            return ""
        with self.process.stdout as rest:
            self.process.terminate()
            text = rest.read()
            self.process.wait(WAIT_S)
        return text


@contextlib.contextmanager
def serving(state: Path, **env: str) -> Iterator[Served]:
    """A server, ended afterwards."""
    served = Served(state, **env)
    try:
        yield served
    finally:
        served.end()


class Browser:
    """A page of the server's own origin with its person: cookies as a browser keeps them, one passkey, and an app where one was set up."""

    def __init__(self, served: Served, name: str = "") -> None:
        self.served, self.name = served, name
        self.address = f"127.0.9.{next(_HOMES)}"
        self.passkeys = Authenticator(origin=served.origin)
        self.cookies: dict[str, str] = {}
        self.csrf = ""
        self.person: dict[str, Any] = {}
        self.totp_secret = ""
        self.recovery_codes: list[str] = []

    @property
    def person_id(self) -> str:
        return str(self.person["person_id"])

    @property
    def session_id(self) -> str:
        rows = self.get("/api/v1/me/sessions")["items"]
        return str(next(row["session_id"] for row in rows if row["current"]))

    def headers(self, method: str = "POST") -> dict[str, str]:
        """What the browser adds by itself."""
        sent = {"Origin": self.served.origin, "Sec-Fetch-Site": "same-origin"}
        if self.csrf and method not in ("GET", "HEAD"):
            sent["X-Kedge-CSRF"] = self.csrf
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return sent

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """As the page asks; a header given as '' is left away."""
        sent = {name: value for name, value in {**self.headers(method), **headers}.items() if value}
        answer = self.served.ask(method, path, body, address=self.address, **sent)
        for text in answer.cookies:
            name, _, rest = text.partition("=")
            self.cookies[name] = rest.split(";")[0]
            if "Max-Age=0;" in text:
                del self.cookies[name]
        return answer

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, {} if body is None else body, **headers)

    def make(self, path: str, body: Any, **headers: str) -> Answer:
        """Post with a new Idempotency-Key, unless one is given."""
        return self.post(path, body, **{"Idempotency-Key": str(uuid.uuid4()), **headers})

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, (path, answer.text)
        return answer.body

    def believe(self, answer: Answer) -> Answer:
        """Take what the server says about the session that began."""
        assert answer.status == 200, answer.text
        session = answer.body.get("session", answer.body)
        self.csrf, self.person = session["csrf"], session["person"]
        self.name = self.person["name"]
        return answer

    def set_up(self, link: str, **names: str) -> Browser:
        """Set an account up by its link, with a passkey."""
        options = self.post("/api/v1/setup/options", {"token": link.partition("#")[2], **names})
        assert options.status == 200, options.text
        made = self.passkeys.create(options.body["public_key"])
        self.believe(self.post("/api/v1/setup/passkey", {"challenge_id": options.body["challenge_id"], "credential": made}))
        return self

    def set_up_password(self, link: str, password: str = PASSWORD, **names: str) -> Browser:
        """The same with a password and an authenticator app."""
        offer = self.post("/api/v1/setup/password", {"token": link.partition("#")[2], "password": password, **names})
        assert offer.status == 200, offer.text
        self.totp_secret = offer.body["totp_secret"]
        done = self.believe(self.post("/api/v1/setup/totp", {"ticket": offer.body["ticket"], "code": self.code()}))
        self.recovery_codes = done.body["recovery_codes"]
        return self

    def add_password(self, password: str = PASSWORD) -> Browser:
        """A password and an app beside the passkey."""
        self.believe(self.post("/api/v1/me/password", {"password": password}))
        offer = self.post("/api/v1/me/totp")
        self.totp_secret = offer.body["totp_secret"]
        done = self.believe(self.post("/api/v1/me/totp/confirmation", {"ticket": offer.body["ticket"], "code": self.code()}))
        self.recovery_codes = done.body["recovery_codes"]
        return self

    def code(self, steps: int = 0) -> str:
        """The app's code so many steps from now."""
        return pyotp.TOTP(self.totp_secret).at(int(time.time()) + 30 * steps)

    def assertion(self, prefix: str, body: Any = None, **lies: Any) -> dict[str, Any]:
        """A passkey's answer to a question of `PREFIX/options`."""
        options = self.post(f"{prefix}/options", body)
        assert options.status == 200, options.text
        return {"challenge_id": options.body["challenge_id"], "credential": self.passkeys.get(options.body["public_key"], **lies)}

    def sign_in(self) -> Browser:
        """Begin another session by passkey."""
        self.csrf = self.get("/api/v1/session")["csrf"] or ""
        self.believe(self.post("/api/v1/sign-in/passkey", self.assertion("/api/v1/sign-in")))
        return self

    def step_up(self) -> Browser:
        self.believe(self.post("/api/v1/step-up/passkey", self.assertion("/api/v1/step-up")))
        return self

    def elsewhere(self) -> Browser:
        """The same person at another device, with the same passkey, signed in there."""
        other = Browser(self.served, self.name)
        other.passkeys, other.totp_secret, other.recovery_codes = self.passkeys, self.totp_secret, self.recovery_codes
        return other.sign_in()

    def copy(self) -> Browser:
        """A thief's copy of every cookie and of the page's token."""
        other = Browser(self.served, self.name)
        other.cookies, other.csrf, other.person = dict(self.cookies), self.csrf, self.person
        return other

    def invite(self, name: str, *roles: str) -> Browser:
        """Somebody new, set up with a passkey."""
        return Browser(self.served).set_up(self.invitation(name, *roles))

    def invitation(self, name: str, *roles: str) -> str:
        """The link of somebody new."""
        answer = self.make("/api/v1/people", {"name": name, "display_name": name.title(), "roles": list(roles)})
        assert answer.status == 201, answer.text
        return str(answer.body["setup_link"])

    def token(self, *scopes: str, **more: Any) -> str:
        answer = self.make("/api/v1/me/tokens", {"label": "test", "scopes": list(scopes), **more})
        assert answer.status == 201, answer.text
        return str(answer.body["token"])

    def request_grant(self, other: Browser | str, *roles: str) -> dict[str, Any]:
        """Ask that somebody gets guarded roles."""
        person_id = other if isinstance(other, str) else other.person_id
        payload = {"person_id": person_id, "roles": sorted(roles)}
        answer = self.make("/api/v1/approvals", {"kind": "role-grant", "payload": payload, "reason": "drill"})
        assert answer.status == 201, answer.text
        return dict(answer.body)

    def decide(self, approval: dict[str, Any], decision: str = "approve", **more: Any) -> Answer:
        """Decide with a passkey that signs this approval, unless other evidence is given."""
        evidence = more if "challenge_id" in more or more.get("bare") else self.assertion("/api/v1/step-up", {"binds": approval["binds"]})
        evidence.pop("bare", None)
        given = {"decision": decision, "reason": "drill", "payload_sha256": approval["payload_sha256"], **evidence}
        return self.post(f"/api/v1/approvals/{approval['id']}/decisions", given)

    def grant(self, other: Browser, *roles: str, approver: Browser | None = None) -> None:
        """Give guarded roles, the whole way."""
        approval = self.request_grant(other, *roles)
        assert (decided := (approver or self).decide(approval)).status == 200, decided.text
        assert (used := self.post(f"/api/v1/approvals/{approval['id']}/use")).status == 200, used.text


def bearer(token: str, **more: str) -> dict[str, str]:
    """The headers of a machine."""
    return {"Authorization": f"Bearer {token}", **more}


def first_person(served: Served, name: str = "ada") -> Browser:
    """Who sets the server up: admin and trader, by passkey."""
    assert served.setup_url is not None
    return Browser(served).set_up(served.setup_url, name=name, display_name=name.title())
