"""From which number or name a message goes out, and what each of them may (issue of replies: domain B6, C1). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sms_bridge.routes.smpp.pdu import Address, PduError
from sms_bridge.routes.smpp.submit import Kind, source_address


@dataclass(frozen=True, slots=True)
class Sender:
    """One number or name of an account."""

    text: str
    kind: Kind | None = None  # None: by what it looks like
    two_way: bool | None = None  # whether it can be answered; None: a number can, a name cannot
    countries: frozenset[str] | None = None  # that it may be used for, ISO 3166; None: all
    throughput: float | None = None  # messages a second

    @property
    def answers(self) -> bool:
        return self.two_way if self.two_way is not None else bool(re.fullmatch(r"\+?[0-9]+", self.text))

    @property
    def address(self) -> Address:
        """PduError: it cannot be a sender."""
        return source_address(self.text, self.kind)

    def serves(self, country: str | None) -> bool:
        return self.countries is None or (country is not None and country in self.countries)


class NoSender(PduError):
    """There is none for this order; `code` is stable."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def choose(senders: Sequence[Sender], wanted: str | None, country: str | None, known: str | None) -> Sender:
    """The sender of an order. `wanted`: what the order names; `country`: of the recipient; `known`: the number of ours
    that the recipient wrote to last. NoSender, with the reason."""
    if wanted is not None:
        return _wanted(senders, wanted, country)
    if not senders:
        return Sender("")  # the message centre has one of its own
    fitting = [sender for sender in senders if sender.serves(country)]
    if not fitting:
        where = f"to {country}" if country else "to a number of no country"
        raise NoSender("no_sender", f"none of the account's senders may be used for messages {where}")
    if known is not None:
        found = next((sender for sender in fitting if sender.answers and same(sender.text, known)), None)
        if found is not None:
            return found
    return fitting[0]


def same(one: str, other: str) -> bool:
    """Whether two spellings are one number or name."""
    return one.removeprefix("+").casefold() == other.removeprefix("+").casefold()


def _wanted(senders: Sequence[Sender], wanted: str, country: str | None) -> Sender:
    if not senders:
        sender = Sender(wanted)
        try:
            sender.address  # noqa: B018 # only whether it can be one
        except PduError as error:
            raise NoSender("invalid_sender", error.reason) from None
        return sender
    found = next((sender for sender in senders if same(sender.text, wanted)), None)
    if found is None:
        raise NoSender("sender_not_allowed", f"the account has no sender {wanted[:20]!r}")
    if not found.serves(country):
        raise NoSender("sender_not_allowed", f"the sender {found.text!r} is not for messages to {country or 'there'}")
    return found
