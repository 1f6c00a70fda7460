"""Where configuration and state live on this machine; the only place that asks for it."""

from __future__ import annotations

from pathlib import Path

import platformdirs

CONFIG_NAME = "kedge.yaml"


def default_state_folder() -> Path:
    """The user's state folder, such as ~/.local/state/kedge; not created here."""
    return Path(platformdirs.user_state_dir("kedge", appauthor=False))


def user_config_file() -> Path:
    """The user's own configuration file, such as ~/.config/kedge/kedge.yaml; it need not exist."""
    return Path(platformdirs.user_config_dir("kedge", appauthor=False)) / CONFIG_NAME
