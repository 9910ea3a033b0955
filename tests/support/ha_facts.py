"""What Home Assistant 2024.11 to 2026.11 takes in device-based discovery, as a table; `make test-ha` asks the real one.

A key that is not known at the root, in `device` or in `origin` makes it drop the payload. In a component it is ignored,
which is no help to whoever wrote it.
"""

from __future__ import annotations

from typing import Any

ROOT = frozenset(
    "device components origin availability availability_mode availability_topic availability_template "
    "payload_available payload_not_available state_topic command_topic qos encoding".split()
)
DEVICE = frozenset(
    "identifiers connections name manufacturer model model_id hw_version sw_version serial_number suggested_area "
    "configuration_url via_device".split()
)
ORIGIN = frozenset({"name", "sw_version", "support_url"})
AVAILABILITY = frozenset({"topic", "payload_available", "payload_not_available", "value_template"})

COMMON = frozenset(
    "platform unique_id name icon entity_category enabled_by_default entity_picture json_attributes_topic "
    "json_attributes_template availability availability_mode availability_topic availability_template "
    "payload_available payload_not_available qos encoding".split()
)
PLATFORMS: dict[str, frozenset[str]] = {
    "sensor": frozenset(
        "state_topic value_template device_class unit_of_measurement state_class options suggested_display_precision "
        "expire_after force_update last_reset_value_template".split()
    ),
    "binary_sensor": frozenset(
        "state_topic value_template device_class payload_on payload_off expire_after off_delay force_update".split()
    ),
    "event": frozenset("state_topic value_template event_types device_class".split()),
    "button": frozenset("command_topic command_template payload_press device_class retain".split()),
    "notify": frozenset("command_topic command_template retain".split()),
    "switch": frozenset(
        "command_topic command_template state_topic value_template payload_on payload_off state_on state_off "
        "device_class optimistic retain".split()
    ),
}
REQUIRED: dict[str, frozenset[str]] = {
    "sensor": frozenset({"state_topic"}),
    "binary_sensor": frozenset({"state_topic"}),
    "event": frozenset({"state_topic", "event_types"}),
    "button": frozenset({"command_topic"}),
    "notify": frozenset({"command_topic"}),
    "switch": frozenset({"command_topic"}),
}
CLASSES: dict[str, frozenset[str]] = {
    "sensor": frozenset({"signal_strength", "enum", "timestamp", "monetary"}),
    "binary_sensor": frozenset({"connectivity", "problem"}),
    "event": frozenset({"doorbell", "button", "motion"}),
    "button": frozenset({"identify", "restart", "update"}),
    "switch": frozenset({"outlet", "switch"}),
}


def complaints(payload: dict[str, Any]) -> list[str]:
    """Everything that Home Assistant would refuse, ignore or log of a device's configuration."""
    found = _unknown("the root", payload, ROOT)
    found += _unknown("device", payload["device"], DEVICE)
    found += _unknown("origin", payload["origin"], ORIGIN)
    found += [] if payload["origin"].get("name") else ["origin has no name"]
    found += [] if payload["device"].get("identifiers") else ["device has no identifier"]
    for one in payload.get("availability", []):
        found += _unknown("availability", one, AVAILABILITY)
    ids = [component.get("unique_id") for component in payload["components"].values()]
    found += [] if len(set(ids)) == len(ids) else ["two components share a unique_id"]
    for key, component in payload["components"].items():
        found += [f"{key}: {one}" for one in _component(component, payload["device"]["name"])]
    return found


def _component(component: dict[str, Any], device: str) -> list[str]:
    platform = component.get("platform", "")
    if platform not in PLATFORMS:
        return [f"unknown platform {platform!r}"]
    found = _unknown("the component", component, COMMON | PLATFORMS[platform])
    found += [f"has no {key}" for key in REQUIRED[platform] | {"unique_id", "name"} if not component.get(key)]
    for one in component.get("availability", []):
        found += _unknown("availability", one, AVAILABILITY)
    device_class = component.get("device_class")
    if device_class is not None and device_class not in CLASSES.get(platform, frozenset()):
        found.append(f"unknown device_class {device_class}")
    if component.get("name", "").casefold().startswith(device.casefold()):
        found.append("its name begins with the device's: Home Assistant puts that there by itself")
    category = component.get("entity_category")
    if category not in (None, "diagnostic", "config"):
        found.append(f"unknown entity_category {category}")
    if category == "config" and platform in ("sensor", "binary_sensor"):
        found.append("what cannot be changed is no configuration")
    return found + (_sensor(component) if platform == "sensor" else [])


def _sensor(component: dict[str, Any]) -> list[str]:
    found = []
    device_class, unit = component.get("device_class"), component.get("unit_of_measurement")
    state_class = component.get("state_class")
    if (device_class == "enum") != ("options" in component):
        found.append("`options` and the class enum belong together")
    if device_class in ("enum", "timestamp") and (unit or state_class or "suggested_display_precision" in component):
        found.append(f"a {device_class} has neither unit nor state_class")
    if device_class == "signal_strength" and unit not in ("dBm", "dB"):
        found.append("a signal_strength is in dBm or dB")
    if device_class == "monetary" and (not unit or state_class not in (None, "total")):
        found.append("a monetary value has a currency and is no measurement")
    if state_class not in (None, "measurement", "total", "total_increasing"):
        found.append(f"unknown state_class {state_class}")
    return found


def _unknown(where: str, given: dict[str, Any], allowed: frozenset[str]) -> list[str]:
    return [f"{where} has {key!r}" for key in given.keys() - allowed]
