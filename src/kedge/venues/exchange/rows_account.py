"""Positions, wallets, logs and closed profits as the JSON that clients read; the rules are those of `rows`."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from kedge.domain.orders import OrderKind, Side
from kedge.simulation.venue_account import copy_position
from kedge.simulation.venue_types import ClosedPnlRow, LogRow, LogType, PositionRow, WalletRow
from kedge.venues.exchange.texts import Grid, e2_text, e8_text, known_e8_text

_REMEMBERED: Final = 4_096


def position_rest(row: PositionRow, grid: Grid) -> bytes:
    """A position as `position/list` lists it: the entry is `avgPrice`, absent stops are empty."""
    stops = f'"takeProfit":"{grid.price_or_none(row.take_profit_ticks)}","stopLoss":"{grid.price_or_none(row.stop_loss_ticks)}"'
    before, after = _position(row, grid)
    return f'{{"avgPrice":"{_entry(row, grid)}",{stops},{before}{row.updated_ns // 1_000_000}{after}}}'.encode()


def position_ws(row: PositionRow, grid: Grid) -> bytes:
    """A position as the `position` topic sends it: the entry is `entryPrice`, absent stops are 0."""
    before, after = _position_ws(row, grid)
    return f"{before}{row.updated_ns // 1_000_000}{after}".encode()


def wallet_rest(row: WalletRow, coin: str, shown: bool = True) -> bytes:
    """A wallet as `wallet-balance` lists it, its one coin priced at one dollar; the coin itself only when `shown`."""
    return _wallet(row, f'{{{_coin(row, coin)},"colRes":"0","free":""}}' if shown else "").encode()


def wallet_ws(row: WalletRow, coin: str) -> bytes:
    """A wallet as the `wallet` topic sends it."""
    return _wallet(row, f"{{{_coin(row, coin)}}}").encode()


class WalletTexts:
    """Wallets of one coin as `wallet_ws` writes them, around what stood in the account's last: orders move three amounts and a rate."""

    def __init__(self, coin: str) -> None:
        self._coin = coin
        self._last: dict[str, tuple[WalletRow, str, str, str, str]] = {}

    def text(self, row: WalletRow) -> str:
        """What `wallet_ws` encodes."""
        orders, positions, equity = row.order_initial_e8, row.position_initial_e8, row.equity_e8
        bound = positions + orders
        initial = e8_text(bound)
        rate = _rate(bound, equity)
        known = self._last.get(row.account)
        if known is None or not _same_but_orders(known[0], row):
            known = self._last[row.account] = (row, *_wallet_parts(row, self._coin))
        _, before, between, after, end = known
        available = e8_text(row.available_e8)
        return (
            f'{{"accountType":"UNIFIED","accountIMRate":"{rate}","accountIMRateByMp":"{rate}{before}{available}{between}{initial}'
            f'","totalInitialMarginByMp":"{initial}{after}{e8_text(orders) if positions else initial}{end}'
        )


def _same_but_orders(old: WalletRow, new: WalletRow) -> bool:
    return (
        old.wallet_e8 == new.wallet_e8 and old.equity_e8 == new.equity_e8 and old.unrealised_e8 == new.unrealised_e8
        and old.position_initial_e8 == new.position_initial_e8 and old.maintenance_e8 == new.maintenance_e8
        and old.cum_realised_e8 == new.cum_realised_e8
    )  # fmt: skip


def _wallet_parts(row: WalletRow, coin: str) -> tuple[str, str, str, str]:
    """What stands around the amounts of a wallet that orders move."""
    wallet, equity, kept, profit = e8_text(row.wallet_e8), e8_text(row.equity_e8), e8_text(row.maintenance_e8), e8_text(row.unrealised_e8)
    rate = _rate(row.maintenance_e8, row.equity_e8)
    return (
        f'","accountMMRate":"{rate}","accountMMRateByMp":"{rate}","totalEquity":"{equity}","totalWalletBalance":"{wallet}",'
        f'"totalMarginBalance":"{equity}","totalAvailableBalance":"',
        f'","totalPerpUPL":"{profit}","totalInitialMargin":"',
        f'","totalMaintenanceMargin":"{kept}","totalMaintenanceMarginByMp":"{kept}","accountLTV":"0","coin":[{{"coin":"{coin}",'
        f'"equity":"{equity}","usdValue":"{equity}","walletBalance":"{wallet}",'
        f'"availableToWithdraw":"","availableToBorrow":"","borrowAmount":"0","accruedInterest":"0","totalOrderIM":"',
        f'","totalPositionIM":"{e8_text(row.position_initial_e8)}","totalPositionMM":"{kept}","unrealisedPnl":"{profit}",'
        f'"cumRealisedPnl":"{e8_text(row.cum_realised_e8)}","bonus":"0","collateralSwitch":true,"marginCollateral":true,"locked":"0",'
        f'"spotHedgingQty":"0","spotBorrow":"0"}}]}}',
    )


class PositionTexts:
    """Positions of one instrument as `position_ws` writes them; a row that differs from the account's last in its time alone is cheap."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._last: dict[str, tuple[PositionRow, str, str]] = {}

    def text(self, row: PositionRow) -> str:
        """What `position_ws` encodes."""
        known = self._last.get(row.account)
        if known is not None:
            last, before, after = known
            last.updated_ns = row.updated_ns
            if last == row:
                return f"{before}{row.updated_ns // 1_000_000}{after}"
        before, after = _position_ws(row, self._grid)
        self._last[row.account] = (copy_position(row), before, after)
        return f"{before}{row.updated_ns // 1_000_000}{after}"


def log_rest(row: LogRow, grid: Grid | None, coin: str) -> bytes:
    """A change of the wallet as `transaction-log` lists it; `grid` is None for one that belongs to no instrument."""
    symbol = grid.symbol if grid is not None else ""
    funding = e8_text(row.funding_e8) if row.type is LogType.SETTLEMENT else ""
    price = grid.price_e8(row.price_e8) if grid is not None else ""
    qty, size = (grid.qty(row.qty_lots), grid.qty(row.size_lots)) if grid is not None else ("", "")
    side = "None" if row.side is None else "Buy" if row.side is Side.BUY else "Sell"
    return (
        f'{{"id":"{row.account}_{symbol}_{row.number}","symbol":"{symbol}","category":"{"linear" if symbol else ""}","side":"{side}",'
        f'"transactionTime":"{row.ts_ns // 1_000_000}","type":"{row.type}","transSubType":"{row.sub_type}","qty":"{qty}",'
        f'"size":"{size}","currency":"{coin}","tradePrice":"{price}","funding":"{funding}","fee":"{e8_text(row.fee_e8)}",'
        f'"cashFlow":"{e8_text(row.cash_flow_e8)}","change":"{e8_text(row.change_e8)}","cashBalance":"{e8_text(row.balance_e8)}",'
        f'"feeRate":"{e8_text(row.fee_rate_e8)}","bonusChange":"","tradeId":"{row.exec_id}","orderId":"{row.order_id}",'
        f'"orderLinkId":"{row.link_id}","extraFees":""}}'
    ).encode()


def closed_pnl_rest(row: ClosedPnlRow, grid: Grid) -> bytes:
    """What a closing order earned, as `closed-pnl` lists it."""
    closed = row.closed_lots
    return (
        f'{{"symbol":"{grid.symbol}","orderId":"{row.order_id}","side":"{"Buy" if row.side is Side.BUY else "Sell"}",'
        f'"qty":"{grid.qty(row.qty_lots)}","orderPrice":"{grid.price_or_zero(row.order_price_ticks)}",'
        f'"orderType":"{"Market" if row.kind is OrderKind.MARKET else "Limit"}","execType":"{row.exec_type}",'
        f'"closedSize":"{grid.qty(closed)}","cumEntryValue":"{e8_text(row.entry_value_e8)}",'
        f'"avgEntryPrice":"{grid.average(row.entry_value_e8, closed)}","cumExitValue":"{e8_text(row.exit_value_e8)}",'
        f'"avgExitPrice":"{grid.average(row.exit_value_e8, closed)}","closedPnl":"{e8_text(row.closed_pnl_e8)}",'
        f'"fillCount":"{row.fills}","leverage":"{e2_text(row.leverage_e2)}","openFee":"{e8_text(row.open_fee_e8)}",'
        f'"closeFee":"{e8_text(row.close_fee_e8)}","createdTime":"{row.created_ns // 1_000_000}",'
        f'"updatedTime":"{row.updated_ns // 1_000_000}"}}'
    ).encode()


def _entry(row: PositionRow, grid: Grid) -> str:
    return grid.average(abs(row.cost_e8), abs(row.lots)) if row.lots else "0"


def _position_ws(row: PositionRow, grid: Grid) -> tuple[str, str]:
    before, after = _position(row, grid)
    profit, loss = row.take_profit_ticks, row.stop_loss_ticks
    return (
        f'{{"category":"linear","entryPrice":"{_entry(row, grid)}","takeProfit":"{grid.price(profit) if profit else "0"}",'
        f'"stopLoss":"{grid.price(loss) if loss else "0"}",{before}'
    ), f"{after}}}"


def _position(row: PositionRow, grid: Grid) -> tuple[str, str]:
    """The members that both shapes share, before and after the time of the change. The value is at the entry, margins are at the mark."""
    lots, liquidation, even = row.lots, row.liq_price_e8, row.break_even_e8
    margin, maintenance = e8_text(row.initial_e8), e8_text(row.maintenance_e8)
    mark = "" if row.mark_e8 is None else grid.price_e8(row.mark_e8)
    return (
        f'{_tier(grid, row.risk_tier, row.risk_limit_e8)}"{"Buy" if lots > 0 else "Sell" if lots else ""}","size":"{grid.qty(abs(lots))}",'
        f'"sessionAvgPrice":"","leverage":"{e2_text(row.leverage_e2)}","positionValue":"{e8_text(abs(row.cost_e8))}",'
        f'"positionBalance":"0","markPrice":"{mark}","breakEvenPrice":"{"" if even is None else e8_text(even)}",'
        f'"positionIM":"{margin}","positionIMByMp":"{margin}",'
        f'"positionMM":"{maintenance}","positionMMByMp":"{maintenance}","trailingStop":"0","unrealisedPnl":"{e8_text(row.unrealised_e8)}",'
        f'"cumRealisedPnl":"{e8_text(row.cum_realised_e8)}","curRealisedPnl":"{e8_text(row.current_realised_e8)}",'
        f'"createdTime":"{row.created_ns // 1_000_000}","updatedTime":"'
    ), (
        f'","openTime":{row.opened_ns // 1_000_000},"tpslMode":"Full","liqPrice":"{"" if liquidation is None else e8_text(liquidation)}",'
        f'"bustPrice":"","positionStatus":"Normal","adlRankIndicator":0,"autoAddMargin":0,"leverageSysUpdatedTime":"",'
        f'"mmrSysUpdatedTime":"","seq":{row.seq},"isReduceOnly":false'
    )


@lru_cache(_REMEMBERED)
def _tier(grid: Grid, risk_tier: int, risk_limit_e8: int) -> str:
    """The members of a position that hardly ever change."""
    return (
        f'"positionIdx":0,"tradeMode":0,"riskId":{risk_tier},"riskLimitValue":"{e8_text(risk_limit_e8)}","symbol":"{grid.symbol}","side":'
    )


def _wallet(row: WalletRow, coin: str) -> str:
    initial = row.position_initial_e8 + row.order_initial_e8
    equity, bound, kept = e8_text(row.equity_e8), e8_text(initial), e8_text(row.maintenance_e8)
    initial_rate, kept_rate = _rate(initial, row.equity_e8), _rate(row.maintenance_e8, row.equity_e8)
    return (
        f'{{"accountType":"UNIFIED","accountIMRate":"{initial_rate}","accountIMRateByMp":"{initial_rate}","accountMMRate":"{kept_rate}",'
        f'"accountMMRateByMp":"{kept_rate}","totalEquity":"{equity}","totalWalletBalance":"{e8_text(row.wallet_e8)}",'
        f'"totalMarginBalance":"{equity}","totalAvailableBalance":"{e8_text(row.available_e8)}",'
        f'"totalPerpUPL":"{e8_text(row.unrealised_e8)}","totalInitialMargin":"{bound}","totalInitialMarginByMp":"{bound}",'
        f'"totalMaintenanceMargin":"{kept}","totalMaintenanceMarginByMp":"{kept}","accountLTV":"0","coin":[{coin}]}}'
    )


def _coin(row: WalletRow, coin: str) -> str:
    equity = e8_text(row.equity_e8)
    return (
        f'"coin":"{coin}","equity":"{equity}","usdValue":"{equity}","walletBalance":"{e8_text(row.wallet_e8)}",'
        f'"availableToWithdraw":"","availableToBorrow":"","borrowAmount":"0","accruedInterest":"0",'
        f'"totalOrderIM":"{e8_text(row.order_initial_e8)}","totalPositionIM":"{e8_text(row.position_initial_e8)}",'
        f'"totalPositionMM":"{e8_text(row.maintenance_e8)}","unrealisedPnl":"{e8_text(row.unrealised_e8)}",'
        f'"cumRealisedPnl":"{e8_text(row.cum_realised_e8)}","bonus":"0","collateralSwitch":true,"marginCollateral":true,"locked":"0",'
        f'"spotHedgingQty":"0","spotBorrow":"0"'
    )


def _rate(part_e8: int, equity_e8: int) -> str:
    """A margin rate to four decimals; empty where there is no equity to compare with."""
    if not part_e8:
        return "0"
    return known_e8_text((20_000 * part_e8 + equity_e8) // (2 * equity_e8) * 10_000) if equity_e8 > 0 else ""
