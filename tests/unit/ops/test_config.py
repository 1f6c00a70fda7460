from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from kedge.domain.errors import InvalidConfig, NotFound
from kedge.ops import config
from kedge.ops.config import Config, load_config


def load(folder: Path, text: str | None = None, flags: dict[str, object] | None = None, **environ: str) -> Config:
    if text is not None:
        (folder / "kedge.yaml").write_text(text)
    return load_config(folder=folder, environ=environ, flags=flags)  # type: ignore[arg-type]


def test_defaults_alone(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert loaded.file is None
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.settings.limits.gross_leverage_max == Decimal("1.5")


def test_the_later_layer_wins_and_every_value_says_which(tmp_path: Path) -> None:
    text = """
account: file
wallet: 1000
demo: {seed: 1, speed: "10"}
profiles:
  staging:
    wallet: 2000
    demo: {seed: 2}
"""
    loaded = load(tmp_path, text, flags={"demo.speed": "60"}, KEDGE_PROFILE="staging", KEDGE_DEMO__SEED="3")
    assert loaded.settings.account == "file"
    assert loaded.settings.wallet == 2000
    assert loaded.settings.demo.seed == 3
    assert loaded.settings.demo.speed == "60"
    wanted = {"account": "kedge.yaml:2", "wallet": "kedge.yaml:7", "demo.seed": "env KEDGE_DEMO__SEED", "demo.speed": "flag"}
    assert {key: loaded.origins[key] for key in wanted} == wanted
    assert loaded.origins["profile"] == "env KEDGE_PROFILE"
    assert loaded.origins["limits.gross_leverage_max"] == "default"


def test_the_file_may_choose_its_profile_and_a_flag_overrules(tmp_path: Path) -> None:
    text = "profile: production\nprofiles:\n  production: {account: prod}\n  staging: {account: stage}\n"
    assert load(tmp_path, text).settings.account == "prod"
    assert load(tmp_path, text, flags={"profile": "staging"}).settings.account == "stage"
    assert load(tmp_path, text, flags={"profile": None}).settings.account == "prod"


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user, here, named, other = (tmp_path / name for name in ("user.yaml", "kedge.yaml", "named.yaml", "other.yaml"))
    monkeypatch.setattr(config, "user_config_file", lambda: user)
    for file in (user, here, named, other):
        file.write_text(f"account: {file.stem}\n")
    assert load_config(named, environ={"KEDGE_CONFIG": str(other)}, folder=tmp_path).settings.account == "named"
    assert load_config(environ={"KEDGE_CONFIG": str(other)}, folder=tmp_path).settings.account == "other"
    assert load_config(environ={}, folder=tmp_path).settings.account == "kedge"
    here.unlink()
    assert load_config(environ={}, folder=tmp_path).settings.account == "user"
    with pytest.raises(NotFound, match="does not exist"):
        load_config(tmp_path / "gone.yaml", environ={}, folder=tmp_path)


def test_lists_and_free_sections(tmp_path: Path) -> None:
    loaded = load(
        tmp_path, "strategy:\n  params: {fast: 5, note: x}\n", KEDGE_DEMO__INSTRUMENTS="BTCUSDT, SOLUSDT", KEDGE_STRATEGY__PARAMS__FAST="9"
    )
    assert loaded.settings.demo.instruments == ["BTCUSDT", "SOLUSDT"]
    assert loaded.settings.strategy.params == {"fast": 9, "note": "x"}
    assert loaded.origins["strategy.params.fast"] == "env KEDGE_STRATEGY__PARAMS__FAST"


@pytest.mark.parametrize("text", ["limits:\n", "limits: {}\n", "limits: null\nsecrets:\n"])
def test_an_empty_section_changes_nothing(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text).settings == load(tmp_path / "none").settings


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("acount: x", ("unknown key acount (kedge.yaml:1)", "did you mean account?")),
        ("limits:\n  gross_leverage_mx: 1", ("limits.gross_leverage_mx (kedge.yaml:2)", "did you mean limits.gross_leverage_max?")),
        ("gross_leverage_max: 1", ("did you mean limits.gross_leverage_max?",)),
        ("profiles: {prod: {account: x}}", ("profiles.prod.account", "did you mean")),
        ("profiles: {production: 5}", ("profiles.production",)),
        ("profiles: {production: {acount: x}}", ("unknown key acount",)),
        ("demo:\n  seed: {a: 1}", ("demo.seed.a",)),
        ("qqqq: 1", ("remove it",)),
        ("<<: {account: x}", ("unknown key",)),
        ("limits: 5", ("limits", "unknown key")),
        ("strategy: {params: 5}", ("strategy.params is a plain value", "it is a section")),
    ],
)
def test_an_unknown_key_is_refused_with_its_neighbour(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(tmp_path, text)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["KEDGE_ACOUNT", "KEDGE_LIMITS__GROSS", "KEDGE_DEMO_SEED"])
def test_an_unknown_variable_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidConfig, match=f"env {name}"):
        load(tmp_path, **{name: "1"})


def test_variables_that_are_no_settings_are_left_alone(tmp_path: Path) -> None:
    assert load(tmp_path, **dict.fromkeys(["KEDGE_CACHE_DIR", "KEDGE_TEST_DATA"], "x")).settings.account == "demo"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("wallet: -5", "wallet is -5 (kedge.yaml:1)"),
        ("wallet: .nan", "not a decimal"),
        ("wallet: NaN", "not finite"),
        ("wallet: Infinity", "not finite"),
        ("wallet: much", "not a decimal"),
        ("wallet: true", "wallet is True"),
        ("wallet: 1.123456789", "8 decimal"),
        ("demo: {seed: 1.5}", "demo.seed is '1.5'"),
        ("demo: {seed: yes}", "demo.seed"),
        ("demo: {speed: 0}", "demo.speed"),
        ("demo: {market: elsewhere}", "demo.market"),
        ("demo: {instruments: []}", "demo.instruments"),
        ("account: 'a b'", "account"),
        ("account: null", "account is None"),
        ("profile: prod", "'development', 'staging' or 'production'"),
        ("limits: {order_notional_frac_max: 0}", "limits.order_notional_frac_max is 0"),
        ("limits: {stale_bars: 1.234}", "2 decimal"),
        ("costs: {participation_frac: 1.01}", "less than or equal to 1"),
        ("limits: {order_notional_frac_max: 0.3}", "a row must rise"),
        ("limits: {drawdown_reduce_frac: 0.09}", "drawdown_reduce_frac 0.09, drawdown_halt_frac 0.08"),
        ("limits: {open_orders_total_max: 5}", "open_orders_instrument_max 20"),
    ],
)
def test_a_bad_value_is_refused_with_field_value_and_reason(tmp_path: Path, text: str, word: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(tmp_path, text)
    assert word in str(caught.value)


def test_all_bad_values_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"wallet.*and 1 more: demo\.seed"):
        load(tmp_path, "wallet: -1\ndemo: {seed: -1}\n")


def test_the_section_of_another_profile_is_checked_too(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="wallet is -5"):
        load(tmp_path, "profiles: {production: {wallet: -5}}\n")


def test_secrets_are_references_and_their_values_stay_hidden(tmp_path: Path) -> None:
    loaded = load(tmp_path, "secrets: {venue: env:VENUE_KEY}\nstrategy: {params: {api_key: canary-1}}\n", VENUE_KEY="canary-2")
    assert loaded.shown()["secrets.venue"] == "env:VENUE_KEY"
    assert "canary" not in str(loaded.shown())
    assert loaded.secret_values({"VENUE_KEY": "canary-2"}) == ("canary-2",)
    with pytest.raises(NotFound, match="holds nothing"):
        loaded.secret_values({})


@pytest.mark.parametrize("text", ["secrets: {venue: canary}", "secrets: {venue: 'vault:canary'}", "secrets: {venue: 12345678}"])
def test_a_literal_secret_is_refused_without_being_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        load(tmp_path, text)
    assert "secrets" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert "12345678" not in str(caught.value)


def test_the_state_folder_expands_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(tmp_path, "state_dir: ~/k").state_folder == tmp_path / "k"
