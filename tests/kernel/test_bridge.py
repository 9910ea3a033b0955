"""The bridge on real plugs: what a technician does with a bag of sticks, and what MQTT and the command line say."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.kernel.house import living
from tests.kernel.sticks import STICKS
from tests.support.stack import stop_process, wait_until

CYCLES = 20
PIN = "4711"


def locked(stick) -> str:
    """The configuration's entry for a stick whose SIM asks for a PIN."""
    stick.fault("pin_required", pin=PIN)
    return f'modems:\n  - {{name: alarm, imei: "{stick.phone.imei}", pin: "{PIN}"}}\n'


@pytest.mark.short
@pytest.mark.timeout(300)
def test_two_unlike_sticks_are_ready_one_is_pulled_out_in_every_moment_of_a_send_and_each_message_ends_once(
    lab, tmp_path, observe
):
    """One has a PIN, one its AT port third; the pulled one comes back in another plug each time."""
    bench = lab("ec25", "sara")
    third, pinned = bench.sticks
    with living(tmp_path, locked(pinned)) as house:
        for socket, stick in enumerate(bench.sticks):
            stick.plug(socket)
        name, _ = house.ready(third)
        assert house.name_of(pinned) == "alarm"
        shown = house.command("modems", "--config", str(house.config))
        for stick in bench.sticks:
            assert stick.at_port.device in shown
        moments = {"command": "sent", "cmgs": "sent", "prompt": "sent", "ctrl_z": "unknown", "accepted": "unknown"}
        for turn, moment in enumerate(moments, 2):
            since = len(house.observer.seen)
            third.fault("unplug", on=moment)
            began = time.monotonic()
            house.order(moment, modem=name)
            observe("order to `offline`, pulled out in the send", house.offline(third, since) - began)
            since, began = len(house.observer.seen), time.monotonic()
            third.plug(turn)
            again, at = house.ready(third, since)
            observe("insertion to `ready` on MQTT", at - began)
            assert again == name
            assert house.final(moment) == moments[moment]
        house.order("after", modem="alarm")
        assert house.final("after") == "sent"
    rows = [(row["text"], row["accepted"]) for row in bench.ledger("submit")]
    assert all(rows.count((moment, True)) <= 1 for moment in moments)
    assert [text for text, _ in rows if moments.get(text, "sent") == "sent"] == ["command", "cmgs", "prompt", "after"]
    opened = [bool(count) for count in third.line.opened]
    assert opened == [False, False, True, False]  # DIAG, NMEA and PPP never were


@pytest.mark.timeout(400)
def test_twenty_times_renumbered_and_moved_each_comes_back_under_its_own_name(lab, tmp_path, observe):
    bench = lab("ec25", "sara", "ft232r")
    sticks = bench.sticks
    names: dict[str, str] = {}
    ttys: dict[str, set[str]] = {stick.name: set() for stick in sticks}
    held = (0, 0)
    with living(tmp_path, locked(sticks[1])) as house:
        for cycle in range(CYCLES):
            since = len(house.observer.seen)
            begun = {}
            for position, stick in enumerate(sticks if cycle % 2 else reversed(sticks)):  # another order, other ttys
                begun[stick.name] = time.monotonic()
                stick.plug((position * 2 + cycle) % 8)
            for stick in sticks:
                name, at = house.ready(stick, since)
                observe("insertion to `ready` on MQTT, three at once", at - begun[stick.name])
                assert names.setdefault(stick.name, name) == name
                ttys[stick.name].add(stick.at_port.device)
            order = f"cycle-{cycle}"
            house.order(order, modem=names[sticks[cycle % len(sticks)].name])
            assert house.final(order) == "sent"
            if cycle == 1:
                held = house.held()
            for stick in sticks:
                since, began = len(house.observer.seen), time.monotonic()
                stick.unplug()
                observe("pulled out to `offline` on MQTT", house.offline(stick, since) - began)
        wait_until(lambda: house.held() <= held, 20, f"the bridge lets go: {house.held()}, at first {held}")
    assert len(set(names.values())) == len(sticks)
    assert sorted(row["text"] for row in bench.ledger("submit")) == sorted(f"cycle-{n}" for n in range(CYCLES))
    assert any(len(seen) > 1 for seen in ttys.values())  # they were renumbered


@pytest.mark.timeout(180)
def test_what_is_no_modem_is_told_with_the_fix_and_never_opened(lab, tmp_path):
    bench = lab("cdrom", "hilink", "edl")
    with living(tmp_path) as house:
        for socket, stick in enumerate(bench.sticks):
            stick.plug(socket)
        said = [house.event("modem_blocked", usb_path=stick.path) for stick in bench.sticks]
        assert all(event["reason"] and event["fix"] for event in said)
        shown = house.command("modems", "--config", str(house.config))
        for stick, event in zip(bench.sticks, said, strict=True):
            assert STICKS[stick.name].vid_pid in shown
            assert event["reason"] in shown
        assert all(count == 0 for count in bench.sticks[2].line.opened)
        for stick in bench.sticks:
            since = len(house.observer.seen)
            path = stick.path
            stick.unplug()
            house.event("modem_left", since, usb_path=path)


@pytest.mark.timeout(180)
def test_a_port_that_another_program_holds_is_told_with_its_pid_and_taken_when_it_is_free(lab, tmp_path):
    stick = lab("ec25").sticks[0]
    stick.plug(1)
    device = stick.at_port.device
    other = subprocess.Popen(["sh", "-c", f"exec 3<>{device}; read _"], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: stick.line.opened[stick.stick.at], 10, "the other program has the port open")
        with living(tmp_path) as house:
            said = house.event("modem_blocked", usb_path=stick.path)
            assert f"sh (pid {other.pid})" in f"{said['reason']}; {said['fix']}"
            assert f"sh ({other.pid})" in house.command("modems", "--config", str(house.config))
            stop_process(other)
            house.name_of(stick)
    finally:
        stop_process(other)
        assert other.stdin is not None
        other.stdin.close()
