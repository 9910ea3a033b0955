"""Settings in the words of the core."""

from __future__ import annotations

from sms_bridge.config.settings import BalanceSettings, Settings
from sms_bridge.core.balances import BalancePlan


def balance_plans(settings: Settings) -> list[BalancePlan]:
    """How balances are had, in the order of the configuration: the first that fits a SIM is its."""
    return [_plan(entry) for entry in settings.balance]


def allowed_ussd(settings: Settings) -> tuple[str, ...]:
    """USSD codes that may be sent besides short ones: those of the list, and those that ask for balances."""
    return (*settings.ussd.allow, *(entry.ussd for entry in settings.balance if entry.ussd is not None))


def _plan(entry: BalanceSettings) -> BalancePlan:
    plan = BalancePlan(
        entry.pattern,
        modem=entry.modem,
        sim=entry.sim,
        ussd=entry.ussd,
        replies=entry.replies,
        currency=entry.currency,
        month_first=entry.month_first,
        every=entry.every,
        low=entry.low,
        expires_soon=entry.expires_soon,
    )
    sms = entry.sms
    if sms is None:
        return plan
    return plan.by_sms(sms.to, sms.text, sms.senders, sms.per_month)
