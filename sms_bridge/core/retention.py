"""How long the journal keeps things: counted while the bridge runs, so that no clock can make anything old.

A row is as old as the bridge has run since, never older: now and then the journal notes how long it has run and which
number the newest row of a table has. A row that was there at a note so long ago may go.
"""

from __future__ import annotations

from dataclasses import dataclass

from sms_bridge.core.model import Cutoffs
from sms_bridge.core.ports import Transaction
from sms_bridge.core.quota import KEPT_DAYS
from sms_bridge.core.settings import DAY, CoreSettings

STEPS = 24  # notes in the time that a table keeps its rows: they stay a twenty-fourth longer at most
LEAST_STEP = 60_000  # ms
NOTE_RUN = 600_000  # ms of running after which that is noted: what a crash forgets, things are kept longer
STEADY = 3600.0  # seconds without a jump after which what the clock says is believed
LEAST_CONTENTS = 3 * DAY  # seconds; a modem says once a day what is still on its SIM


@dataclass(frozen=True, slots=True)
class Age:
    """What the journal measures age by."""

    ran: int  # ms that the bridge has run in all
    now: int | None  # UTC ms; None while the clock is not to be believed


def purge(tx: Transaction, settings: CoreSettings, age: Age, limit: int) -> int:
    """Delete at most about `limit` rows of each table."""
    s, ran = settings, age.ran
    orders = _ms(s.retention_days * DAY)
    cutoffs = Cutoffs(
        orders=_up_to(tx, "orders", ran, orders),
        inbound=_up_to(tx, "inbound", ran, orders),
        quarantine=_up_to(tx, "quarantine", ran, _ms(s.quarantine_days * DAY)),
        orphan_reports=_up_to(tx, "orphan_reports", ran, _ms(s.report_days * DAY)),
        outbox=_up_to(tx, "outbox", ran, _ms(s.outbox_days * DAY)),
        contents=_up_to(tx, "contents", ran, _ms(max(s.dedupe_window, LEAST_CONTENTS))),
        ended_before=0 if age.now is None else age.now - orders,
        counted_before=0 if age.now is None else age.now - _ms(KEPT_DAYS * DAY),
    )
    if ran - tx.ran() >= NOTE_RUN:
        tx.note_ran(ran)
    return tx.purge(cutoffs, limit)


def _up_to(tx: Transaction, table: str, ran: int, keep: int) -> int:
    """The newest number that was there `keep` ms of running ago."""
    notes = tx.age_notes(table)
    newest = tx.highest(table)
    due = not notes or ran - notes[-1][0] >= max(keep // STEPS, LEAST_STEP)
    if due and (not notes or newest > notes[-1][1]):
        tx.add_age_note(table, ran, newest)
    old = [note for note in notes if note[0] <= ran - keep]
    if len(old) > 1:
        tx.drop_age_notes(table, old[-1][0])
    return old[-1][1] if old else 0


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
