"""SIMs whose messages are accepted and dropped without a word: no delivery report, ever (domain B4)."""

from __future__ import annotations

from collections.abc import Sequence

from sms_bridge.core.model import Handed
from sms_bridge.core.ports import Reader
from sms_bridge.core.settings import SilenceSettings

__all__ = ["look", "unreported"]

ORDERS = 2000  # that are looked back upon
PARTS = 5000
MANY_TIMES = 3  # the usual time until a report, so often: then it is missing
LONGEST = 24 * 3600.0  # s; a report that takes longer is none


def look(reader: Reader, now: int, settings: SilenceSettings) -> dict[str, bool]:
    """By SIM: True, it never gets a report though others do; False, it does. Others are not in it."""
    return unreported(reader.handed(ORDERS, PARTS), now, settings)


def unreported(handed: Sequence[Handed], now: int, settings: SilenceSettings) -> dict[str, bool]:
    """As `look`, of parts newest first.

    A run of parts without a report says something when it is long, when each of them has waited well beyond the usual
    time, and when reports are known to come: for this SIM before, or for another one meanwhile. A telephone that is
    off is no proof: the run must go to two numbers, or to one that another SIM has reached since.
    """
    patience = _patience(handed, settings)
    found: dict[str, bool] = {}
    for sim in dict.fromkeys(part.sim for part in handed):
        ripe = [part for part in handed if part.sim == sim and (part.reported or now - part.at >= patience)]
        run = ripe[: next((place for place, part in enumerate(ripe) if part.reported), len(ripe))]
        if len(run) < settings.unreported:
            if len(run) < len(ripe):
                found[sim] = False
        elif _is_telling(sim, run, ripe, handed):
            found[sim] = True
    return found


def _is_telling(sim: str, run: Sequence[Handed], ripe: Sequence[Handed], handed: Sequence[Handed]) -> bool:
    since, numbers = run[-1].at, {part.recipient for part in run}
    others = [part for part in handed if part.sim != sim and part.reported and part.at >= since]
    if any(part.recipient in numbers for part in others):
        return True
    return len(numbers) > 1 and (bool(others) or len(run) < len(ripe))


def _patience(handed: Sequence[Handed], settings: SilenceSettings) -> float:
    """ms after which a report is missing: well beyond what nine in ten have taken."""
    took = sorted(part.took for part in handed if part.took is not None and part.took >= 0)
    usual = took[len(took) * 9 // 10] if took else 0
    return min(max(settings.report_time * 1000, MANY_TIMES * usual), LONGEST * 1000)
