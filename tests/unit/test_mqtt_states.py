"""Payloads of the retained topics, and what of a number may be read in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from hardware.types import Access, Health, ModemState, ModemStatus, Registration, SimStatus, StorageStatus
from sms_bridge.mqtt.states import StateTopics, modem_payload
from sms_bridge.mqtt.topics import Topics

NOW = datetime(2026, 11, 22, 19, 0, 0, tzinfo=UTC)
CONTRACT = (
    "state health health_reason imei iccid imsi number manufacturer model firmware port usb_path vid_pid operator "
    "registration access signal_dbm sim storage smsc queue sent received failures utilisation balance last_ok"
).split()


def test_a_modem_of_which_nothing_is_known_yet() -> None:
    payload = modem_payload(ModemStatus("stick-1"), None, NOW)
    assert set(CONTRACT) <= set(payload)
    assert payload["signal_dbm"] is None
    assert payload["utilisation"] is None
    assert payload["storage"] == {"used": None, "total": None, "percent": None}
    json.dumps(payload)


def test_a_modem_at_work() -> None:
    status = ModemStatus(
        "stick-1",
        state=ModemState.READY,
        health=Health.PASS,
        imsi="216301234567890",
        registration=Registration.HOME,
        access=Access.LTE,
        signal_dbm=-71,
        sim=SimStatus("ready", 3),
        storage=StorageStatus(3, 50),
        busy_seconds=30.0,
        started_at=NOW - timedelta(seconds=60),
        last_ok=NOW,
    )
    payload = json.loads(json.dumps(modem_payload(status, 7, NOW)))
    assert payload["state"] == "ready"
    assert payload["imsi"] == "2163…90"
    assert payload["access"] == "lte"
    assert payload["sim"] == {"state": "ready", "pin_attempts_left": 3}
    assert payload["storage"]["percent"] == 6
    assert payload["utilisation"] == 0.5
    assert payload["queue"] == 7
    assert payload["last_ok"] == "2026-11-22T19:00:00+00:00"


async def test_a_modem_whose_name_is_no_name_builds_no_topic() -> None:
    topics = StateTopics(Topics(), kick=lambda: None)
    with pytest.raises(ValueError, match="no name"):
        topics.modem_changed(ModemStatus("a/b"))
