"""Commands by SMS: an allowed sender, a keyword, perhaps a PIN or a code, to one topic. Never a shell.

All that a message leads to is in the transaction that stores it. A sender can be forged (domain E8.2): what opens doors
has a PIN or a code. Nothing of a text gets into a topic, and into a payload only what was checked (domain E8.3).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sms_bridge.automation import totp
from sms_bridge.automation.wording import Spoken, arguments, filled, masked, spoken
from sms_bridge.core.answers import answer, may_hear
from sms_bridge.core.asking import Expect, Option, fold
from sms_bridge.core.clock import SET_AFTER
from sms_bridge.core.commandplan import CommandPlan, Dispatch
from sms_bridge.core.errors import NumberError
from sms_bridge.core.events import to_json
from sms_bridge.core.model import Accepted, SendRequest
from sms_bridge.core.numbers import expand
from sms_bridge.core.redaction import mask
from sms_bridge.core.talk import Heard, Noted, Talk

SOURCE = "command"
YES = Option.of("YES|y|igen|ja|oui|si|ok", "yes")
NO = Option.of("NO|n|nem|nein|non", "no")


@dataclass(slots=True)
class _Record:
    """What is known of a sender."""

    fails: int
    locked_until: int  # UTC ms
    uses: dict[str, list[int]]

    def save(self, talk: Talk, sender: str) -> None:
        talk.tx.set_meta(f"command:{sender}", json.dumps([self.fails, self.locked_until, self.uses]))


class Commands:
    """Implements `core.talk.Listener`."""

    def __init__(self, plans: Sequence[CommandPlan]) -> None:
        self._plans = tuple(plans)

    def masked(self, heard: Heard) -> str | None:
        """Without the PIN or code, whoever sent it."""
        if not heard.text:
            return None
        return next((hidden for plan in self._plans if (hidden := masked(plan, heard.text)) is not None), None)

    def heard(self, talk: Talk, heard: Heard) -> Noted | None:
        """Do what a command says, or deny it; None: it is none, or nobody may give it."""
        if not self._plans or heard.kind != "text" or heard.partial or not heard.text:
            return None
        found = [(plan, said) for plan in self._plans if (said := spoken(plan, heard.text)) is not None]
        if not found:
            return None
        # Two commands may begin alike: the one that fits in whole is meant.
        plan, said = next((each for each in found if each[1].fits), found[0])
        if not _is_allowed(talk, plan, heard):
            if said.fits:
                _deny(talk, heard, plan, "sender", told=False)
            return None
        reason = self._obey(talk, heard, plan, said)
        if reason is not None:
            _deny(talk, heard, plan, reason)
        return Noted()

    def answered(self, talk: Talk, heard: Heard, note: str, value: str | None) -> None:
        """The sender was asked whether it is meant."""
        name, given = json.loads(note)
        plan = next((plan for plan in self._plans if plan.name == name), None)
        if plan is None or not _is_allowed(talk, plan, heard):
            return  # it is not configured any more
        if value != YES.value:
            _deny(talk, heard, plan, "refused", told=False)
        elif _is_late(talk, heard, plan):
            _deny(talk, heard, plan, "late")
        else:
            _execute(talk, heard, plan, given)

    def _obey(self, talk: Talk, heard: Heard, plan: CommandPlan, said: Spoken) -> str | None:
        """Why it is denied; None: it is done, or asked about."""
        record = _record(talk, heard.sender, plan)
        if record.locked_until > talk.now:
            return "locked"
        if _is_late(talk, heard, plan):
            return "late"
        if not said.fits:
            return "arguments"
        wrong = _wrong_secret(talk, plan, said.secret)
        if wrong is not None:
            if wrong != "clock":
                record.fails += 1
            if record.fails >= plan.attempts:
                record.fails, record.locked_until = 0, talk.now + int(plan.lockout * 1000)
            record.save(talk, heard.sender)
            return wrong
        given = arguments(plan, said.words)
        if given is None:
            return "arguments"
        count, period = plan.limit
        uses = [min(time, talk.now) for time in record.uses.get(plan.name, ()) if talk.now - time < period * 1000]
        if len(uses) >= count:
            return "rate"
        record.fails = 0
        record.uses[plan.name] = [*uses, talk.now]
        record.save(talk, heard.sender)
        if plan.confirm is None:
            _execute(talk, heard, plan, given)
            return None
        return None if _ask(talk, heard, plan, given) else "unasked"


def _is_allowed(talk: Talk, plan: CommandPlan, heard: Heard) -> bool:
    if not may_hear(talk, heard):
        return False
    for typed in plan.senders:
        try:
            if heard.sender in expand(typed, talk.settings.default_region, talk.book):
                return True
        except NumberError:
            continue  # a contact that was removed allows nobody
    return False


def _is_late(talk: Talk, heard: Heard, plan: CommandPlan) -> bool:
    """It was under way, or lay on a SIM, for too long: the world is another one now."""
    known = talk.now >= SET_AFTER and heard.sent_at is not None
    return known and heard.sent_at is not None and talk.now - heard.sent_at > plan.max_age * 1000


def _wrong_secret(talk: Talk, plan: CommandPlan, secret: str | None) -> str | None:
    """`pin`, `totp`, `replayed` or `clock`; None: it is right. A code that is right is used up."""
    given = fold(secret) if secret is not None else ""
    if plan.pin is not None and not hmac.compare_digest(plan.pin.encode(), given.encode("utf-8", "replace")):
        return "pin"
    if plan.totp is None:
        return None
    if talk.now < SET_AFTER:
        return "clock"  # without the time there is no code
    step = totp.step_of(plan.totp, given, talk.now)
    if step is None:
        return "totp"
    used = f"totp:{totp.name_of(plan.totp)}"
    if step <= int(talk.tx.meta(used) or -1):
        return "replayed"
    talk.tx.set_meta(used, str(step))
    return None


def _record(talk: Talk, sender: str, plan: CommandPlan) -> _Record:
    kept = talk.tx.meta(f"command:{sender}")
    fails, locked_until, uses = json.loads(kept) if kept is not None else (0, 0, {})
    # Told by a clock that was ahead: no lock is longer than it was to be.
    return _Record(fails, min(locked_until, talk.now + int(plan.lockout * 1000)), uses)


def _ask(talk: Talk, heard: Heard, plan: CommandPlan, given: dict[str, str | int]) -> bool:
    assert plan.confirm is not None
    what = " ".join(str(given.get(word.strip("{}"), word)) for word in plan.text.split())
    minutes = f"{plan.confirm / 60:g} min" if plan.confirm >= 60 else f"{plan.confirm:g} s"
    request = SendRequest(
        to=(heard.sender,),
        text=f"{what}? Reply YES within {minutes}",
        id=f"command-{heard.id}",
        delivery_report=False,
        expires_in=plan.confirm,
        source=SOURCE,
        expect=Expect(plan.confirm, (YES, NO), note=json.dumps([plan.name, given])),
    )
    return isinstance(talk.order(request), Accepted)


def _execute(talk: Talk, heard: Heard, plan: CommandPlan, given: dict[str, Any]) -> None:
    values = {**given, "contact": heard.contact, "id": heard.id}
    payload = (
        to_json({"command": plan.name, "contact": heard.contact, "id": heard.id, "arguments": given})
        if plan.payload is None
        else filled(plan.payload, values)
    )
    expires_at = talk.now + int(plan.expires * 1000)
    talk.tx.add_dispatch(Dispatch(0, plan.name, heard.id, heard.contact, plan.topic, payload, expires_at))
    talk.event("command", command=plan.name, contact=heard.contact, **{"from": mask(heard.sender)}, id=heard.id)
    if plan.answer is not None:
        answer(talk, heard, plan.answer)


def _deny(talk: Talk, heard: Heard, plan: CommandPlan, reason: str, *, told: bool = True) -> None:
    talk.event(
        "command_denied",
        command=plan.name,
        contact=heard.contact,
        **{"from": mask(heard.sender)},
        id=heard.id,
        reason=reason,
    )
    if told and plan.denied is not None:
        answer(talk, heard, plan.denied)
