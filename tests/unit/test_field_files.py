"""What a technician installs: the unit, the udev rules and the script that puts them in place fit each other."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "hardware/systemd/sms-bridge.service"
RULES = ROOT / "hardware/udev/60-sms-bridge.rules"
INSTALL = ROOT / "scripts/install.sh"

_TOKEN = re.compile(r'[A-Z]+(?:\{[^}]+\})?(?:==|!=|\+=|-=|:=|=)"(?:[^"\\]|\\.)*"')


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser


def test_the_service_is_unprivileged_watched_and_never_given_up() -> None:
    service = unit()["Service"]
    assert service["User"] == "sms-bridge"
    assert service["SupplementaryGroups"] == "dialout"
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 60
    assert service["Restart"] == "always"
    assert unit()["Unit"]["StartLimitIntervalSec"] == "0"
    assert "AF_NETLINK" in service["RestrictAddressFamilies"].split(), "plugs are told of over netlink"
    assert service["CapabilityBoundingSet"] == ""


def test_the_script_installs_what_the_unit_starts() -> None:
    script = INSTALL.read_text(encoding="utf-8")
    home = re.search(r"^home=(\S+)$", script, re.MULTILINE)
    assert home is not None
    assert unit()["Service"]["ExecStart"] == f"{home[1]}/bin/sms-bridge run"
    assert "useradd --system" in script
    for file in (UNIT, RULES):
        assert str(file.relative_to(ROOT)) in script
    subprocess.run(["sh", "-n", str(INSTALL)], check=True)


def test_every_rule_is_well_formed_and_every_jump_has_its_place() -> None:
    labels, jumps = set(), set()
    for number, line in enumerate(RULES.read_text(encoding="utf-8").splitlines(), 1):
        rule = line.split(" # ")[0].strip()
        if not rule or rule.startswith("#"):
            continue
        tokens = [token.strip() for token in re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', rule)]
        wrong = [token for token in tokens if not _TOKEN.fullmatch(token)]
        assert not wrong, f"line {number}: {wrong}"
        labels |= set(re.findall(r'^LABEL="(\w+)"', rule))
        jumps |= set(re.findall(r'GOTO="(\w+)"', rule))
    assert jumps == labels
