"""What a round is played on and who trades: prices, configuration and command lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .models import keep_drill_model
from .prices import INTERVAL_NS, write_bars

MINUTE_NS = 60 * 10**9
SYMBOLS = ("BTCUSDT", "ETHUSDT")
CONFIG = """\
limits:
  daily_loss_soft_frac: "0.90"
  daily_loss_reduce_frac: "0.95"
  daily_loss_halt_frac: "0.99"
  drawdown_soft_frac: "0.90"
  drawdown_reduce_frac: "0.95"
  drawdown_halt_frac: "0.99"
  orders_per_second_max: 2
journal: {snapshot_every: 60}
"""
"""Losses do not stop it, a low order rate makes timers, and snapshots are frequent."""

STYLES = {
    "market": "",
    "limit": "execution: {{style: limit}}\n",
    "chase": "execution: {{style: chase, chase_every_s: {every_s}, chase_life_s: {life_s}}}\n",
}
"""How orders are worked: at once, by resting, by resting and following the price."""


@dataclass
class Course:
    """One market and its trader.

    Attributes
    ----------
    folder : Path
        State folder of exchange and trader.
    replayed : bool
        Play recorded quarter hours, with a settlement every 32 bars, instead of synthetic minutes.
    by_model : bool
        Trade by a model, whose predictions and their features are in the journal, instead of by a rule.
    style : str
        How orders are worked, one of `STYLES`.
    url : str
        The exchange's address, once it runs.
    """

    folder: Path
    seed: int
    replayed: bool = False
    by_model: bool = False
    style: str = "market"
    url: str = ""

    @property
    def config(self) -> tuple[object, ...]:
        return "--config", self.folder / "kedge.yaml"

    def write_config(self) -> None:
        """Write the configuration file. A chase lives for some bars, since only bars move the time of a market in lock-step."""
        bar_s = (INTERVAL_NS if self.replayed else MINUTE_NS) // 10**9
        (self.folder / "kedge.yaml").write_text(CONFIG + STYLES[self.style].format(every_s=bar_s // 3, life_s=5 * bar_s // 2))

    def prices(self) -> list[object]:
        """The exchange's options."""
        if self.replayed:
            return ["--market", "replay:" + ",".join(map(str, write_bars(self.folder, SYMBOLS, self.seed)))]
        return ["--market", "synthetic", *(word for symbol in SYMBOLS for word in ("--instrument", symbol))]

    def trader(self, state: Path) -> list[object]:
        """The command line of a trader with this state folder."""
        argv = ["trade", "--state-dir", state, *self.config, *self._strategy(state), "--json"]
        argv += ["--venue", self.url, "--on-stop", "leave", *(word for one in SYMBOLS for word in ("--instrument", one))]
        return [*argv, "--interval", "15m" if self.replayed else "1m"]

    def _strategy(self, state: Path) -> list[str]:
        if not self.by_model:
            return ["--param", "fast=2", "--param", "slow=4"]
        sha256 = keep_drill_model(state, INTERVAL_NS if self.replayed else MINUTE_NS)
        return ["--strategy", "model", "--param", f"model={sha256}", "--param", "outside_max=0"]
