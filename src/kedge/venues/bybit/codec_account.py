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
