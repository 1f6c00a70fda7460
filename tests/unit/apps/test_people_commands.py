"""`kedge login`, `people`, `token` and `approval` against a server with people: what is asked, shown, kept, refused, and never written."""

from __future__ import annotations

import json
import re
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.apps.market_files import Answer, kedge, refused
from tests.unit.apps.people_server import Served, served, signs_in, types
from tests.unit.services.people.world import PASSWORD, Known

from kedge.apps import credentials, login
from kedge.apps.credentials import credentials_file
from kedge.domain.people import Role, Scope
from kedge.services.people.answers import Client
from kedge.storage.keys import load_public_key
from kedge.storage.people_rows import Device

CODE = re.compile(r"[A-Z0-9]{4}-[A-Z0-9]{4}")
WAIT_S = 15.0


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("KEDGE_TOKEN", "KEDGE_SERVER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with served(tmp_path / "state") as made:
        monkeypatch.setattr(login, "sleep", lambda seconds: waited(made, seconds))
        yield made


def waited(here: Served, seconds: float) -> None:
    """The time between two questions passes on the server's clock; here only a moment."""
    here.world.clock.move(seconds)
    time.sleep(0.05)


@pytest.fixture
def ada(here: Served) -> Known:
    return here.world.first_by_password("ada")


def ask(here: Served, *arguments: str) -> Answer:
    return kedge(*arguments, "--state-dir", here.folder)


def keep_token(here: Served, known: Known, *scopes: Scope) -> str:
    """A token of this person is kept for this server, as `kedge login` leaves it."""
    text = token_of(here, known, *scopes)
    name = known.signed_in.person.name
    credentials.keep(here.url, credentials.Credential(token=text, token_id="t-of-another", name=name))
    return text


def token_of(here: Served, known: Known, *scopes: Scope) -> str:
    return here.world.desk.tokens.create(known.actor, known.client, label="test", scopes=scopes or tuple(Scope)).text


def rita(here: Served, ada: Known) -> Known:
    """A second person, with the role risk."""
    invited = here.world.desk.accounts.invite(ada.actor, ada.client, name="rita", display_name="Rita", roles=[Role.VIEWER])
    found = here.world.by_password(invited.link_secret, "rita")
    here.world.granted(found, [Role.RISK])
    return found


def sets_up(here: Served, name: str) -> None:
    """Somebody whom a role may be granted: invited, and set up."""
    link = ask(here, "people", "invite", name, "--json").json["setup_link"]
    here.world.by_password(link.partition("#")[2], name)


class Browser(threading.Thread):
    """Waits for a code to appear at the server, and confirms or refuses it as a person."""

    def __init__(self, here: Served, known: Known, *, approve: bool = True) -> None:
        super().__init__(daemon=True)
        self.here, self.known, self.approve = here, known, approve
        self.decided = ""

    def run(self) -> None:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            waiting = self.here.world.rows(lambda tx: tx.find(Device, state="pending"))
            if waiting:
                self.decided = waiting[0].user_code
                self.here.world.desk.devices.decide(self.known.actor, self.decided, self.known.client, approve=self.approve)
                return
            time.sleep(0.02)


class TestLogin:
    def test_a_code_confirmed_in_a_browser_gives_a_token_that_only_its_owner_can_read(self, here: Served, ada: Known):
        browser = Browser(here, ada)
        browser.start()
        answer = ask(here, "login", "--label", "my laptop", "--json")
        browser.join()
        assert answer.code == 0, answer.out + answer.err
        assert CODE.findall(answer.err)[-1] == browser.decided
        assert answer.json["name"] == "ada"
        assert answer.json["scopes"] == ["brake:engage", "brake:release", "read"]
        assert stat.S_IMODE(credentials_file().stat().st_mode) == 0o600
        assert stat.S_IMODE(credentials_file().parent.stat().st_mode) == 0o700
        kept = json.loads(credentials_file().read_text())["servers"][here.url]
        assert kept["token"] not in answer.out + answer.err
        (row,) = here.world.desk.tokens.of(ada.actor)
        assert (row.label, row.token_id) == ("my laptop", kept["token_id"])

        assert ask(here, "whoami", "--json").json | {"token_from": ""} == {
            "schema": "kedge/whoami/v1",
            "server": here.url,
            "name": "ada",
            "person_id": ada.person_id,
            "roles": ["admin", "trader", "viewer"],
            "scopes": ["brake:engage", "brake:release", "read"],
            "token_from": "",
        }
        assert ask(here, "logout", "--json").json["revoked"] is True
        assert here.world.desk.identify(None, kept["token"], "127.0.0.1") is None
        assert json.loads(credentials_file().read_text())["servers"] == {}
        assert refused(ask(here, "whoami", "--json")) == (7, "NOT_SIGNED_IN")

    def test_a_new_token_takes_the_place_of_the_old_one_which_ends(self, here: Served, ada: Known):
        before = keep_token(here, ada, Scope.READ)
        (row,) = here.world.desk.tokens.of(ada.actor)
        credentials.keep(here.url, credentials.Credential(token=before, token_id=row.token_id, name="ada"))
        browser = Browser(here, ada)
        browser.start()
        assert ask(here, "login", "--json").code == 0
        browser.join()
        assert here.world.desk.identify(None, before, "127.0.0.1") is None
        assert here.world.desk.identify(None, credentials.token_for(here.url, {}), "127.0.0.1") is not None

    def test_a_file_that_is_not_fit_to_keep_a_token_is_told_before_there_is_one(self, here: Served, ada: Known):
        keep_token(here, ada)
        credentials_file().chmod(0o644)
        assert refused(ask(here, "login", "--json"))[1] == "INVALID_CONFIG"
        assert len(here.world.desk.tokens.of(ada.actor)) == 1
        assert here.world.rows(lambda tx: tx.count(Device)) == 0

    def test_a_refused_code_gives_nothing(self, here: Served, ada: Known):
        browser = Browser(here, ada, approve=False)
        browser.start()
        answer = ask(here, "login", "--json")
        browser.join()
        assert answer.code != 0
        assert not credentials_file().exists()

    def test_a_token_that_is_worth_nothing_any_more_is_said_and_forgotten(self, here: Served, ada: Known):
        credentials.keep(here.url, credentials.Credential(token="kedge_pat_" + "x" * 46, token_id="t-1", name="ada"))
        assert refused(ask(here, "whoami", "--json"))[0] == 7
        answer = ask(here, "logout", "--json")
        assert (answer.code, answer.json["revoked"]) == (0, False)
        assert credentials.token_for(here.url) == ""
        assert refused(ask(here, "logout", "--json")) == (7, "NOT_SIGNED_IN")

    def test_the_variable_goes_before_the_file_and_names_itself(self, here: Served, ada: Known, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("KEDGE_TOKEN", token_of(here, ada, Scope.READ))
        monkeypatch.setenv("KEDGE_SERVER", here.url)
        answer = kedge("whoami", "--json")
        assert (answer.json["name"], answer.json["token_from"], answer.json["scopes"]) == ("ada", "KEDGE_TOKEN", ["read"])
        monkeypatch.setenv("KEDGE_TOKEN", "not a token")
        answer = kedge("whoami", "--json")
        assert refused(answer) == (4, "INVALID_INPUT")
        assert "not a token" not in answer.out + answer.err


class TestPeople:
    def test_an_admin_invites_changes_roles_and_disables(self, here: Served, ada: Known):
        keep_token(here, ada)
        answer = ask(here, "people", "invite", "bob", "--role", "trader", "viewer", "--display-name", "Bob B.", "--json")
        assert answer.json["person"]["roles"] == ["trader", "viewer"]
        assert re.fullmatch(r"http://localhost:\d+/setup#[0-9a-f]{64}", answer.json["setup_link"])
        assert refused(ask(here, "people", "invite", "BOB", "--json")) == (6, "CONFLICT")
        assert "bob\tBob B.\ttrader viewer\tinvited" in ask(here, "people", "list").out
        assert ask(here, "people", "roles", "Bob").out.splitlines()[1].startswith("bob\t")
        changed = ask(here, "people", "roles", "bob", "--role", "researcher", "--json")
        assert changed.json["person"]["roles"] == ["researcher", "viewer"]
        assert refused(ask(here, "people", "roles", "bob", "--role", "researcher", "risk", "--json"))[0] in (4, 7)
        assert ask(here, "people", "disable", "bob", "--json").json["person"]["state"] == "disabled"
        assert ask(here, "people", "disable", "bob", "--restore", "--json").json["person"]["state"] == "invited"
        assert refused(ask(here, "people", "roles", "nobody", "--json")) == (3, "NOT_FOUND")
        assert [one["name"] for one in ask(here, "people", "list", "--json").json["people"]] == ["ada", "bob"]

    def test_a_guarded_role_says_what_it_takes_and_with_a_reason_asks_for_it(self, here: Served, ada: Known):
        keep_token(here, ada)
        sets_up(here, "bob")
        assert refused(ask(here, "people", "roles", "bob", "--role", "auditor", "--json")) == (7, "APPROVAL_REQUIRED")
        answer = ask(here, "people", "roles", "bob", "--role", "auditor", "--reason", "yearly audit", "--json")
        record = here.world.desk.approvals.get(answer.json["id"])
        assert record.approval.content()["roles"] == ["auditor"]
        assert record.approval.requester.reason == "yearly audit"

    def test_a_token_without_the_scope_manages_nobody(self, here: Served, ada: Known):
        keep_token(here, ada, Scope.READ)
        assert refused(ask(here, "people", "invite", "bob", "--json")) == (7, "FORBIDDEN")

    def test_a_lost_person_gets_a_link_from_an_admin_at_the_terminal(self, here: Served, ada: Known, monkeypatch: pytest.MonkeyPatch):
        keep_token(here, ada)
        ask(here, "people", "invite", "bob")
        signs_in(monkeypatch, ada)
        answer = ask(here, "people", "setup-link", "bob")
        assert answer.code == 0, answer.err
        assert "/setup#" in answer.out
        assert here.world.last_act().action == "sign-out"

    def test_without_a_terminal_no_session_is_begun(self, here: Served, ada: Known):
        keep_token(here, ada)
        assert refused(ask(here, "people", "setup-link", "ada", "--json")) == (7, "NOT_SIGNED_IN")

    def test_the_machine_itself_makes_the_first_link_and_one_for_a_locked_out_admin(self, here: Served):
        first = ask(here, "people", "setup-link")
        secret = first.out.split("/setup#")[1].split()[0]
        options = here.world.desk.setup.passkey_options(secret, "ada", "Ada", Client(address="127.0.0.1"))
        assert options.challenge_id
        here.world.first_by_password("ada")
        assert refused(ask(here, "people", "setup-link", "--json")) == (7, "FORBIDDEN")
        local = ask(here, "people", "setup-link", "ada", "--local")
        assert local.code == 0, local.err
        here.world.desk.upkeep()
        last = here.world.last_act()
        assert (last.action, last.source) == ("setup-link", "local")
        assert last.person_id.startswith("local:")


class TestTokens:
    def test_a_person_makes_lists_and_revokes_tokens_at_the_terminal(self, here: Served, ada: Known, monkeypatch: pytest.MonkeyPatch):
        signs_in(monkeypatch, ada, "ada")
        made = ask(here, "token", "create", "ci", "--scope", "read", "--days", "7", "--address", "127.0.0.0/8", "--json").json
        actor = here.world.desk.identify(None, made["token"], "127.0.0.1")
        assert actor is not None
        assert actor.scopes == (Scope.READ,)
        signs_in(monkeypatch, ada, "ada")
        assert f"{made['token_id']}\tci\tread" in ask(here, "token", "list").out
        signs_in(monkeypatch, ada, "ada")
        assert ask(here, "token", "revoke", made["token_id"]).code == 0
        assert here.world.desk.identify(None, made["token"], "127.0.0.1") is None
        signs_in(monkeypatch, ada, "ada")
        assert ask(here, "token", "create", "ci", "--scope", "read").out.startswith("kedge_pat_")

    def test_a_wrong_code_is_refused_and_no_scope_asks_nothing(self, here: Served, ada: Known, monkeypatch: pytest.MonkeyPatch):
        ada.recovery_codes = ("0000-0000",)
        signs_in(monkeypatch, ada, "ada")
        assert refused(ask(here, "token", "list", "--json")) == (7, "SIGN_IN_REFUSED")
        assert refused(ask(here, "token", "create", "ci", "--json")) == (4, "INVALID_INPUT")


class TestApprovals:
    def test_asked_shown_approved_at_the_terminal_used_and_verified_without_the_server(
        self, here: Served, ada: Known, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        second = rita(here, ada)
        keep_token(here, ada)
        sets_up(here, "carl")
        carl = ask(here, "people", "roles", "carl", "--json").json["person"]["person_id"]
        payload = tmp_path / "payload.json"
        payload.write_text(json.dumps({"person_id": carl, "roles": ["auditor"]}))
        asked = ask(here, "approval", "request", "role-grant", str(payload), "--reason", "yearly audit", "--json").json
        name = asked["id"]
        assert f"{name}\trole-grant\trequested\tada" in ask(here, "approval", "list").out

        signs_in(monkeypatch, ada, "ada")
        assert refused(ask(here, "approval", "approve", name, "--json")) == (7, "OWN_REQUEST")
        signs_in(monkeypatch, second, "rita")
        wrong = ask(here, "approval", "approve", name, "--sha256", "0" * 64, "--json")
        assert refused(wrong) == (7, "PAYLOAD_CHANGED")
        here.world.clock.move(30)
        types(monkeypatch, "rita", secrets=(PASSWORD, here.world.code(second.secret)))
        approved = ask(here, "approval", "approve", name, "--reason", "seen")
        assert approved.code == 0, approved.err
        assert f"{name}: approved, payload SHA-256 {asked['payload_sha256']}" in approved.out
        assert '"auditor"' in approved.err

        used = ask(here, "approval", "use", name, "--json").json
        assert (used["state"], used["four_eyes"], used["steps"][1]["method"]) == ("used", True, "password+totp")
        assert here.world.desk.accounts.person(carl).roles == (Role.AUDITOR, Role.VIEWER)
        shown = ask(here, "approval", "show", name, "--verify")
        assert shown.code == 0
        assert "payload, signatures and proof fit" in shown.out

        record = tmp_path / "record.json"
        record.write_text(used["record"])
        public = load_public_key(here.folder / "keys").text
        assert kedge("approval", "show", record, "--verify", "--key", public, "--json").json["verified"] is True
        record.write_text(used["record"].replace("yearly audit", "yearly  audit"))
        changed = kedge("approval", "show", record, "--verify", "--key", here.folder / "keys" / "journal.pub", "--json")
        assert (changed.code, changed.json["verified"]) == (9, False)

    def test_refused_with_a_reason_and_withdrawn_by_who_asked(self, here: Served, ada: Known, monkeypatch: pytest.MonkeyPatch):
        second = rita(here, ada)
        keep_token(here, ada)
        sets_up(here, "carl")
        names = [ask(here, "people", "roles", "carl", "--role", "auditor", "--reason", f"try {n}", "--json").json["id"] for n in range(2)]
        signs_in(monkeypatch, second, "rita")
        assert ask(here, "approval", "refuse", names[0], "--reason", "too early", "--json").json["state"] == "refused"
        assert ask(here, "approval", "withdraw", names[1]).out.startswith(f"{names[1]}: withdrawn")
        listed = ask(here, "approval", "list", "--state", "refused", "--kind", "role-grant", "--limit", "5", "--json").json
        assert [row["id"] for row in listed["approvals"]] == [names[0]]
        assert refused(ask(here, "approval", "use", names[0], "--json")) == (7, "NOT_APPROVED")

    @pytest.mark.parametrize(
        ("payload", "code"),
        [("{", (4, "INVALID_INPUT")), ("none.json", (3, "NOT_FOUND")), ('{"a": 1}', (4, "INVALID_INPUT"))],
    )
    def test_a_payload_that_is_none_is_refused(self, here: Served, ada: Known, payload: str, code: tuple[int, str]):
        keep_token(here, ada)
        assert refused(ask(here, "approval", "request", "role-grant", payload, "--reason", "x", "--json")) == code

    def test_a_list_of_no_rows_is_no_error_and_a_wrong_limit_is(self, here: Served, ada: Known):
        keep_token(here, ada)
        assert ask(here, "approval", "list", "--json").json["approvals"] == []
        assert refused(ask(here, "approval", "list", "--limit", "0", "--json")) == (4, "INVALID_INPUT")


class TestResume:
    def test_once_somebody_has_an_account_resuming_takes_a_person_and_stopping_does_not(self, here: Served, ada: Known):
        assert refused(ask(here, "resume", "--reason", "calm", "--json")) == (7, "NOT_SIGNED_IN")
        assert ask(here, "halt", "--reason", "drill").code == 0
        assert ask(here, "flatten", "--reason", "drill", "--confirm", "flatten").code == 0
        keep_token(here, ada, Scope.READ)
        assert refused(ask(here, "resume", "--reason", "calm", "--json")) == (7, "FORBIDDEN")
        keep_token(here, ada, Scope.BRAKE_RELEASE)
        assert ask(here, "resume", "--reason", "calm", "--json").json["command"] == "resume"
        here.world.desk.upkeep()
        given = [act for act in here.world.acts() if act.action in ("halt", "flatten", "resume") and act.outcome == "done"]
        assert [(act.action, act.source, act.reason) for act in given] == [
            ("halt", "local", "drill"),
            ("flatten", "local", "drill"),
            ("resume", "token", "calm"),
        ]
        assert [act.person_id.startswith("local:") for act in given] == [True, True, False]
