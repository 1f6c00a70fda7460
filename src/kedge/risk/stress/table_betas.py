"""How assets follow BTC and SPY. Made by `python -m scripts.stress_tables`; do not edit.

Slopes of daily log returns by least squares: UTC days for BTC, days from one New York session to the next for SPY.
"""

from __future__ import annotations

from kedge.risk.stress.types import Beta

BETAS = {
    "BTC": {
        "ETH": Beta("ETH", "BTC", 11_091, 2_161, "2020-01-02", "2025-12-01"),
        "SOL": Beta("SOL", "BTC", 11_089, 1_235, "2020-08-12", "2023-12-29"),
        "BNB": Beta("BNB", "BTC", 9_954, 1_458, "2020-01-02", "2023-12-29"),
        "XRP": Beta("XRP", "BTC", 9_692, 1_458, "2020-01-02", "2023-12-29"),
        "DOGE": Beta("DOGE", "BTC", 9_978, 1_458, "2020-01-02", "2023-12-29"),
        "BCH": Beta("BCH", "BTC", 10_879, 1_065, "2023-01-02", "2025-12-01"),
        "FET": Beta("FET", "BTC", 14_832, 1_049, "2023-01-18", "2025-12-01"),
        "FIL": Beta("FIL", "BTC", 13_165, 1_065, "2023-01-02", "2025-12-01"),
        "ICP": Beta("ICP", "BTC", 11_784, 1_065, "2023-01-02", "2025-12-01"),
    },
    "SPY": {
        "BTC": Beta("BTC", "SPY", 10_880, 1_486, "2020-01-03", "2025-12-01"),
        "ETH": Beta("ETH", "SPY", 15_273, 1_486, "2020-01-03", "2025-12-01"),
        "SOL": Beta("SOL", "SPY", 22_826, 852, "2020-08-12", "2023-12-29"),
        "BNB": Beta("BNB", "SPY", 11_943, 1_005, "2020-01-03", "2023-12-29"),
        "XRP": Beta("XRP", "SPY", 11_468, 1_005, "2020-01-03", "2023-12-29"),
        "DOGE": Beta("DOGE", "SPY", 10_326, 1_005, "2020-01-03", "2023-12-29"),
        "BCH": Beta("BCH", "SPY", 14_011, 748, "2023-01-04", "2025-12-26"),
        "FET": Beta("FET", "SPY", 17_204, 739, "2023-01-18", "2025-12-26"),
        "FIL": Beta("FIL", "SPY", 15_025, 748, "2023-01-04", "2025-12-26"),
        "ICP": Beta("ICP", "SPY", 13_555, 748, "2023-01-04", "2025-12-26"),
        "QQQ": Beta("QQQ", "SPY", 11_361, 1_504, "2020-01-03", "2025-12-26"),
    },
}
