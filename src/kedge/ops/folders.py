"""Where configuration and state live on this machine; the only place that asks for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import platformdirs

CONFIG_NAME = "kedge.yaml"
PREFIX: Final = "KEDGE_"
CONFIG_VARIABLE: Final = "KEDGE_CONFIG"
NOT_SETTINGS: Final = (
    "KEDGE_CACHE_DIR",
    CONFIG_VARIABLE,
    "KEDGE_TEST_DATA",
    "KEDGE_HYPOTHESIS_PROFILE",
    "KEDGE_KILL_AT",
    "KEDGE_GIT_SHA",
    "KEDGE_TOKEN",
    "KEDGE_SERVER",
)
"""Variables with our prefix that are no configuration keys."""


def default_state_folder() -> Path:
    """The user's state folder, such as ~/.local/state/kedge; not created here."""
    return Path(platformdirs.user_state_dir("kedge", appauthor=False))


def user_config_file() -> Path:
    """The user's own configuration file, such as ~/.config/kedge/kedge.yaml; it need not exist."""
    return Path(platformdirs.user_config_dir("kedge", appauthor=False)) / CONFIG_NAME


def state_folder(config: Path | None = None, state_dir: str | None = None) -> Path:
    """The state folder in force; not created here. For commands that need no other setting.

    Where no file and no variable of ours speaks, only the flag and the default can: then the configuration is not built, which takes longer
    than such a command.

    Raises
    ------
    NotFound, InvalidConfig
        As `kedge.ops.config.load_config`.
    """
    speaks = any(name.startswith(PREFIX) and (name not in NOT_SETTINGS or name == CONFIG_VARIABLE) for name in os.environ)
    if config is None and not speaks and state_dir != "" and not (Path.cwd() / CONFIG_NAME).is_file() and not user_config_file().is_file():
        return (Path(state_dir) if state_dir else default_state_folder()).expanduser()
    from kedge.ops.config import load_config

    return load_config(config, flags={"state_dir": state_dir}).state_folder
