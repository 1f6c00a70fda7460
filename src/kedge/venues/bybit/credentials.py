"""Keys in tiers: each rung of the ladder (paper, testnet, live) loads its own key and can load no other.

Rules: a secret stands in no `repr`, no error and no log; the generic names serve testnet only; one and the same key for testnet
and live is refused, because then one of the two is a mistake about to be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from kedge.domain.errors import AccessRefused

GENERIC_KEY: Final = "BYBIT_API_KEY"
GENERIC_SECRET: Final = "BYBIT_API_SECRET"


class Rung(StrEnum):
    """How real the money is."""

    PAPER = "paper"
    TESTNET = "testnet"
    LIVE = "live"


class Credentials:
    """An API key with its secret: shared text for HMAC, a PEM private key for RSA. Its `repr` shows the rung and the key's head."""

    __slots__ = ("api_key", "rung", "secret")

    def __init__(self, rung: Rung, api_key: str, secret: str) -> None:
        self.rung = rung
        self.api_key = api_key
        self.secret = secret

    @property
    def is_rsa(self) -> bool:
        return self.secret.lstrip().startswith("-----BEGIN")

    def __repr__(self) -> str:
        return f"Credentials({self.rung.value}, {self.api_key[:4]}..., secret hidden)"

    def __reduce__(self) -> str:
        raise TypeError("credentials are not pickled: a secret would end in a file")


def variable_names(rung: Rung) -> tuple[str, str]:
    """The environment variables of a rung's key and secret, such as BYBIT_LIVE_API_KEY."""
    word = rung.value.upper()
    return f"BYBIT_{word}_API_KEY", f"BYBIT_{word}_API_SECRET"


def load_credentials(rung: Rung, environment: Mapping[str, str], paper: Mapping[str, str] | None = None) -> Credentials:
    """The credentials of one rung.

    Parameters
    ----------
    environment : mapping
        The process's environment. Testnet and live read it, paper never does.
    paper : mapping, optional
        `api_key` and `api_secret` that the simulated exchange gave out; needed for paper.

    Raises
    ------
    AccessRefused
        A name is missing or empty, or testnet and live carry the same key. Values are never repeated.
    """
    if rung is Rung.PAPER:
        return _paper(paper)
    key_name, secret_name = variable_names(rung)
    key, secret = _value(environment, key_name), _value(environment, secret_name)
    if rung is Rung.TESTNET and not key and not secret:
        key, secret = _value(environment, GENERIC_KEY), _value(environment, GENERIC_SECRET)
    missing = [name for name, value in ((key_name, key), (secret_name, secret)) if not value]
    if missing:
        raise _missing(rung, missing, environment)
    other = Rung.LIVE if rung is Rung.TESTNET else Rung.TESTNET
    if key == _value(environment, variable_names(other)[0]):
        raise AccessRefused(
            f"{key_name} and {variable_names(other)[0]} hold the same key",
            why="a key works in one environment only, so one of the two is a mistake",
            fix=f"make a {rung.value} key of its own and set {key_name} and {secret_name}",
        )
    return Credentials(rung, key, secret)


def _value(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name, "").strip()


def _paper(paper: Mapping[str, str] | None) -> Credentials:
    found = paper or {}
    key, secret = found.get("api_key", ""), found.get("api_secret", "")
    if not key or not secret:
        raise AccessRefused(
            "no paper key", why="paper trading uses the key that the simulated exchange gave out", fix="start the exchange first"
        )
    return Credentials(Rung.PAPER, key, secret)


def _missing(rung: Rung, missing: list[str], environment: Mapping[str, str]) -> AccessRefused:
    why = f"the {rung.value} rung loads only its own key"
    if rung is Rung.LIVE and _value(environment, GENERIC_KEY):
        why += f"; {GENERIC_KEY} is never used for live"
    return AccessRefused(f"{' and '.join(missing)} not set", why=why, fix=f"set {' and '.join(missing)} in the environment")
