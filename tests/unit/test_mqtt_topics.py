"""Topic names: built from our own names only, parsed totally."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms_bridge.mqtt.topics import Incoming, Kind, Topics
from sms_bridge.payloads.names import is_name

TOPICS = Topics()


@pytest.mark.parametrize(
    ("topic", "kind", "argument"),
    [
        ("sms/out", Kind.OUT, ""),
        ("sms/out/36301234567", Kind.RECIPIENT, "+36301234567"),
        ("sms/out/112", Kind.RECIPIENT, "112"),
        ("sms/out/1770", Kind.RECIPIENT, "1770"),
        ("sms/out/anna", Kind.RECIPIENT, "@anna"),
        ("sms/out/night-shift_2", Kind.RECIPIENT, "@night-shift_2"),
        ("sms/out/Anna", Kind.BAD_RECIPIENT, "Anna"),
        ("sms/out/", Kind.BAD_RECIPIENT, ""),
        ("sms/out/a/b", Kind.BAD_RECIPIENT, "a/b"),
        ("sms/out/36 30", Kind.BAD_RECIPIENT, "36 30"),
        ("sms/modem/stick-1/out", Kind.MODEM_OUT, "stick-1"),
        ("sms/modem/Stick 1/out", Kind.BAD_MODEM, "Stick 1"),
        ("sms/modem//out", Kind.BAD_MODEM, ""),
        ("sms/bridge/request/message/get", Kind.REQUEST, "message/get"),
        ("sms/bridge/request/", Kind.OTHER, ""),
        ("sms/bridge/request", Kind.OTHER, ""),
        ("sms/modem/stick-1", Kind.OTHER, ""),
        ("sms/outside", Kind.OTHER, ""),
        ("SMS/out", Kind.OTHER, ""),
        ("", Kind.OTHER, ""),
    ],
)
def test_what_a_topic_asks_for(topic: str, kind: Kind, argument: str) -> None:
    assert TOPICS.parse(topic) == Incoming(kind, argument)


@given(st.text())
def test_parsing_is_total(topic: str) -> None:
    for prefix in ("", "sms/out/", "sms/modem/", "sms/bridge/request/"):
        found = TOPICS.parse(prefix + topic)
        if found.kind is Kind.MODEM_OUT:
            assert is_name(found.argument)


@pytest.mark.parametrize("base", ["sms", "house/sms", "SMS Gateway", "a"])
def test_any_base_topic(base: str) -> None:
    topics = Topics(base)
    assert topics.status == f"{base}/status"
    assert topics.parse(f"{base}/out").kind is Kind.OUT
    assert topics.parse(f"{base}/modem/x/out") == Incoming(Kind.MODEM_OUT, "x")
    assert all(name.startswith(base) for name in topics.subscriptions())


@pytest.mark.parametrize("base", ["", "/", "sms/", "/sms", "a//b", "a+b", "#", "$SYS", "a\x00b", " sms", "x" * 200])
def test_what_cannot_be_a_base_topic(base: str) -> None:
    with pytest.raises(ValueError, match="cannot be a base topic"):
        Topics(base)


@given(st.text())
def test_no_topic_is_built_from_what_is_no_name(name: str) -> None:
    for build in (TOPICS.modem, TOPICS.availability, TOPICS.call):
        if is_name(name):
            assert f"sms/modem/{name}" in build(name)
        else:
            with pytest.raises(ValueError, match="no name"):
                build(name)
