"""The rows about the key, the account and its transfers. Rules as in `codec_orders`."""

from __future__ import annotations

import msgspec

from kedge.venues.bybit.codec_orders import Row


class KeyInfo(Row, frozen=True, kw_only=True, gc=False):
    """What a key says of itself; `deadline_day` counts down only for keys without an address list."""

    api_key: str
    read_only: int
    permissions: dict[str, tuple[str, ...]]
    ips: tuple[str, ...] = ()
    user_id: int | None = msgspec.field(name="userID", default=None)
    uta: int | None = None
    deadline_day: int | None = None
    expired_at: str = ""
    created_at: str = ""
    vip_level: str = ""
    is_master: bool | None = None
    parent_uid: str = ""
    note: str = ""
    kyc_level: str = ""
    kyc_region: str = ""


class AccountInfo(Row, frozen=True, kw_only=True, gc=False):
    """The account's mode: `unified_margin_status` 5 or 6 is a unified account of the second kind."""

    unified_margin_status: int
    margin_mode: str
    dcp_status: str = ""
    time_window: int | None = None
    smp_group: int | None = None


class DcpInfo(Row, frozen=True, kw_only=True, gc=False):
    """Disconnect protection of one product; `time_window` in seconds, as text."""

    product: str
    dcp_status: str
    time_window: str | int


class TransferData(Row, frozen=True, kw_only=True, gc=False):
    """A transfer between the owner's own accounts."""

    transfer_id: str
    coin: str
    amount: str
    from_account_type: str
    to_account_type: str
    timestamp_ms: int = msgspec.field(name="timestamp")
    status: str


class DepositData(Row, frozen=True, kw_only=True, gc=False):
    """A deposit over a chain; `status` 3 is done. `success_text` is blank until then."""

    coin: str
    amount: str
    status: int
    id: str = ""
    chain: str = ""
    tx_id: str = msgspec.field(name="txID", default="")
    to_address: str = ""
    from_address: str = ""
    deposit_fee: str | None = None
    success_text: str | int | None = msgspec.field(name="successAt", default=None)
    deposit_type: str | int | None = None


class InternalDepositData(Row, frozen=True, kw_only=True, gc=False):
    """A deposit from another member; the one row whose time is in seconds."""

    id: str
    coin: str
    amount: str
    status: int
    created_s: int = msgspec.field(name="createdTime")
    from_member_id: str = ""
    tx_id: str = msgspec.field(name="txID", default="")
    address: str = ""


class WithdrawalData(Row, frozen=True, kw_only=True, gc=False):
    """A withdrawal; `to_address` is a member\'s number where it stayed inside the venue."""

    withdraw_id: str
    coin: str
    amount: str
    status: str
    created_ms: int = msgspec.field(name="createTime")
    chain: str = ""
    tx_id: str = msgspec.field(name="txID", default="")
    to_address: str = ""
    withdraw_fee: str | None = None
    withdraw_type: int | None = None


class SystemStatusData(Row, frozen=True, kw_only=True, gc=False):
    """A maintenance of the venue, planned or running; `begin` and `end` in milliseconds, as text."""

    id: str
    title: str
    state: str
    begin: str | int | None = None
    end: str | int | None = None


class DcpInfos(Row, frozen=True, kw_only=True, gc=False):
    """The result of the disconnect protection query."""

    dcp_infos: tuple[DcpInfo, ...] = ()


class SymbolInfoData(Row, frozen=True, kw_only=True, gc=False):
    """The leverage of one position of a contract."""

    symbol: str
    leverage: str
    position_idx: int = 0


class UserSettings(Row, frozen=True, kw_only=True, gc=False):
    """Switches of the account: `lpa_perp` moves a futures limit price beyond its bound to the bound instead of refusing it."""

    lpa_spot: bool | None = None
    lpa_perp: bool | None = None
    delta_enable: bool | None = None


class CoinBalance(Row, frozen=True, kw_only=True, gc=False):
    """One coin of one of the owner's accounts."""

    coin: str
    wallet_balance: str
    transfer_balance: str | None = None
    bonus: str | None = None


class CoinBalances(Row, frozen=True, kw_only=True, gc=False):
    """The result of the balances query."""

    account_type: str
    balance: tuple[CoinBalance, ...] = ()
    member_id: str | None = None


class ChainRow(Row, frozen=True, kw_only=True, gc=False):
    """One chain of a coin."""

    chain: str
    chain_type: str = ""
    confirmation: str | None = None
    withdraw_fee: str | None = None
    deposit_min: str | None = None
    withdraw_min: str | None = None
    chain_deposit: str | None = None
    chain_withdraw: str | None = None
    contract_address: str = ""


class CoinRow(Row, frozen=True, kw_only=True, gc=False):
    """A coin with its chains."""

    coin: str
    name: str = ""
    remain_amount: str | None = None
    chains: tuple[ChainRow, ...] = ()


class CoinQuery(Row, frozen=True, kw_only=True, gc=False):
    """The result of the coin query."""

    rows: tuple[CoinRow, ...] = ()


class Withdrawable(Row, frozen=True, kw_only=True, gc=False):
    """What could be withdrawn, in dollars and by account; the accounts' own members are kept as they come."""

    limit_amount_usd: str | None = None
    withdrawable_amount: dict[str, dict[str, str]] = {}


class Transferable(Row, frozen=True, kw_only=True, gc=False):
    """What could be transferred, of the first coin and by coin."""

    available_withdrawal: str | None = None
    available_withdrawal_map: dict[str, str] = {}


class AccountRatioData(Row, frozen=True, kw_only=True, gc=False):
    """Shares of accounts that are long and short, as fractions."""

    symbol: str
    buy_ratio: str
    sell_ratio: str
    timestamp_ms: int = msgspec.field(name="timestamp")


class PreCheckData(Row, frozen=True, kw_only=True, gc=False):
    """Initial and maintenance margin rates of the account in 1e-4, before an order and as if it had been taken."""

    pre_imr_e4: int = msgspec.field(name="preImrE4")
    pre_mmr_e4: int = msgspec.field(name="preMmrE4")
    post_imr_e4: int = msgspec.field(name="postImrE4")
    post_mmr_e4: int = msgspec.field(name="postMmrE4")
    order_link_id: str = ""
