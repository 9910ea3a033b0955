"""A modem's worker between the journal and a modem that comes and goes."""

from __future__ import annotations

import asyncio
import signal

from sms_bridge.core.clock import SystemClock
from sms_bridge.core.model import SendRequest
from sms_bridge.routes.modem import ModemRoute
from tests.support.desk import open_desk
from tests.support.modem_rig import rig

CUTS = (0.0, 0.005, 0.02, 0.03, 0.04)  # seconds into a send of 50 ms
LIMIT = 25.0  # seconds of real time; a loop that spins cannot time out by itself


def _frozen(*_):
    raise AssertionError("the event loop stands still")


async def test_a_modem_that_is_unplugged_with_orders_waiting_does_not_stop_the_loop(tmp_path):
    """Its worker is told `port_lost` before its supervisor is: it must not ask again in the same breath."""
    before = signal.signal(signal.SIGALRM, _frozen)
    signal.setitimer(signal.ITIMER_REAL, LIMIT, 1.0)
    try:
        async with open_desk(tmp_path / "desk", clock=SystemClock()) as desk, rig(tmp_path / "m", latency=0.05) as r:
            await r.ready()
            route = ModemRoute(r.modem, desk.dispatcher)
            route.start()
            ids = [f"o{i}" for i in range(40)]
            await desk.submit(*[SendRequest(id=id, text="hi", to=(f"+3630123{i:04d}",)) for i, id in enumerate(ids)])
            for cut in CUTS:
                done = len(r.submits())
                await r.until(lambda done=done: len(r.submits()) > done and desk.dispatcher.sending)
                await asyncio.sleep(cut)
                r.emulator.modems[0].unplug()
                await r.until(lambda: r.modem.status.state == "offline")
                r.emulator.modems[0].plug()
                r.modem.wake()
                await r.ready()
            final = ("sent", "delivered", "unknown")
            await r.until(lambda: all(desk.states(id)[-1] in final for id in ids))
            await route.stop(5.0)
            numbers = [row["to"] for row in r.submits()]
            assert len(numbers) == len(set(numbers))
            assert [desk.states(id)[-1] for id in ids].count("unknown") <= len(CUTS)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        await asyncio.sleep(0)
