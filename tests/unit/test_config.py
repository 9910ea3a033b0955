"""The configuration: what a person writes, what the bridge gets, and what a mistake is answered with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sms_bridge.config import ConfigError, Problem, Settings, find, load
from sms_bridge.config.plans import allowed_ussd, balance_plans
from sms_bridge.config.settings import PowerSwitchSettings, default_data_dir

FULL = """\
mqtt:
  host: 192.168.1.10
  port: 8883
  username: bridge
  password: "s3cr#t: x"
  tls: {}
  base_topic: home/sms
  client_id: bridge-1
  protocol: 5
  keepalive: 60
  publish_last: false
default_region: hu
data_dir: state
modems:
  - port: /dev/ttyUSB2
    name: stick-1
    pin: "0000"
    number: "+36 20 111 2222"
    init_commands: [AT+CGSMS=1]
  - port: socket://10.0.0.7:2217
    enabled: false
  - {port: "rfc2217://[fe80::1]:4000", baudrate: 9600}
virtual_modems: {count: 3, latency: 0.5-2}
self_test: {every: 12h, budget: 10 / month, between: [stick-1, modem-3], timeout: 5m}
health: {unreported: 8, report_time: 2h}
inbound: {reassembly_timeout: 10m, sweep_interval: 30, delete_after_read: false, dedupe_window: 2d}
sending: {result_timeout: 180s, prompt_timeout: 10, max_attempts: 2, retry_delay: 1m, stop_grace: 0}
limits: {max_parts: 10, max_recipients: 5}
retention: {messages: 24h, raw: 7d, unpublished: 2d}
ussd: {allow: ["*102*{digits}#"]}
calls: {hang_up: true}
balance:
  - sim: "8936"
    ussd: "*111#"
    replies: ["1", "2"]
    pattern: '(?P<amount>[0-9 .,]+) ?(?P<currency>Ft)'
    currency: HUF
    month_first: true
    every: 12h
    low: 2.5
    expires_soon: 14d
  - modem: stick-1
    sms: {to: "1755", text: BAL, from: [Telekom, "1756"], per_month: 5}
    pattern: "(?P<amount>.)"
logging: {level: debug, json: true, mqtt: false}
contacts: {anna: "+36301234567", bela: "06 (20) 555-1234"}
groups: {family: [anna, "@bela", "+36705556677"]}
"""


SWITCH = "recovery.power_switch.topic"
OFF_ON = "off: 'OFF', on: 'ON'"


def write(tmp_path: Path, text: str | bytes, name: str = "sms-bridge.yaml") -> Path:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def problems(tmp_path: Path, text: str | bytes) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), environ={})
    return list(caught.value.problems)


def only(tmp_path: Path, text: str | bytes) -> Problem:
    (problem,) = problems(tmp_path, text)
    return problem


def test_all_keys_reach_the_settings(tmp_path: Path) -> None:
    settings = load(write(tmp_path, FULL), environ={})
    mqtt = settings.mqtt
    assert (mqtt.host, mqtt.port, mqtt.local) == ("192.168.1.10", 8883, False)
    assert (mqtt.username, mqtt.password) == ("bridge", "s3cr#t: x")
    assert mqtt.tls is not None
    assert not mqtt.tls.insecure
    assert (mqtt.base_topic, mqtt.client_id, mqtt.protocol) == ("home/sms", "bridge-1", "5")
    assert (mqtt.keepalive, mqtt.publish_last) == (60, False)
    assert settings.default_region == "HU"
    assert settings.data_dir == tmp_path / "state"
    first, second, third = settings.modems
    assert (first.name, first.port, first.pin, first.number) == ("stick-1", "/dev/ttyUSB2", "0000", "+36201112222")
    assert first.init_commands == ("AT+CGSMS=1",)
    assert (second.name, second.enabled, second.baudrate) == ("modem-2", False, 115_200)
    assert (third.name, third.baudrate) == ("modem-3", 9600)
    assert (settings.virtual_modems.count, settings.virtual_modems.latency) == (3, (0.5, 2.0))
    tests = settings.self_test
    assert (tests.every, tests.budget, tests.timeout) == (43_200, (10, 30 * 86_400), 300)
    assert tests.between == ("stick-1", "modem-3")
    assert (settings.health.unreported, settings.health.report_time) == (8, 7200)
    inbound = settings.inbound
    assert (inbound.reassembly_timeout, inbound.sweep_interval) == (600, 30)
    assert (inbound.delete_after_read, inbound.dedupe_window) == (False, 172_800)
    sending = settings.sending
    assert (sending.result_timeout, sending.prompt_timeout, sending.max_attempts) == (180, 10, 2)
    assert (sending.retry_delay, sending.stop_grace) == (60, 0)
    assert (settings.limits.max_parts, settings.limits.max_recipients) == (10, 5)
    retention = settings.retention
    assert (retention.messages, retention.raw, retention.unpublished) == (86_400, 604_800, 172_800)
    assert settings.ussd.allow == ("*102*{digits}#",)
    assert settings.calls.hang_up
    by_code, by_message = settings.balance
    assert (by_code.sim, by_code.ussd, by_code.replies, by_code.sms) == ("8936", "*111#", ("1", "2"), None)
    assert (by_code.currency, by_code.month_first, by_code.every) == ("HUF", True, 43_200)
    assert (by_code.low, by_code.expires_soon) == (2.5, 14 * 86_400)
    assert by_message.sms is not None
    assert (by_message.modem, by_message.sms.to, by_message.sms.text) == ("stick-1", "1755", "BAL")
    assert (by_message.sms.senders, by_message.sms.per_month) == (("Telekom", "1756"), 5)
    assert allowed_ussd(settings) == ("*102*{digits}#", "*111#")
    first_plan, second_plan = balance_plans(settings)
    assert (first_plan.ussd, first_plan.replies, first_plan.sms_to) == ("*111#", ("1", "2"), None)
    assert (second_plan.sms_to, second_plan.sms_from, second_plan.sms_per_month) == ("1755", ("Telekom", "1756"), 5)
    assert (settings.logging.level, settings.logging.json, settings.logging.mqtt) == ("debug", True, False)
    assert settings.contacts == {"anna": "+36301234567", "bela": "06205551234"}
    assert settings.groups == {"family": ("@anna", "@bela", "+36705556677")}


def test_a_power_switch_is_that_of_all_modems_or_of_one(tmp_path: Path) -> None:
    text = """
recovery: {power_switch: {topic: "zigbee2mqtt/Plug 1/set", off: '{"state":"OFF"}', on: '{"state":"ON"}'}}
modems:
  - port: /dev/ttyUSB0
  - port: /dev/ttyUSB1
    recovery: {power_switch: {topic: smsplug/set, off: "0", on: "1", off_time: 1m}}
  - port: /dev/ttyUSB2
    recovery: {}
"""
    settings = load(write(tmp_path, text), environ={})
    assert settings.recovery.power_switch == PowerSwitchSettings(
        "zigbee2mqtt/Plug 1/set", '{"state":"OFF"}', '{"state":"ON"}', 10.0
    )
    first, second, third = (modem.recovery for modem in settings.modems)
    assert first is None
    assert second is not None
    assert second.power_switch == PowerSwitchSettings("smsplug/set", "0", "1", 60.0)
    assert third is not None
    assert third.power_switch is None
    topics = [
        getattr(settings.power_switch_of(name), "topic", None) for name in ("modem-1", "modem-2", "modem-3", "new")
    ]
    assert topics == ["zigbee2mqtt/Plug 1/set", "smsplug/set", None, "zigbee2mqtt/Plug 1/set"]


@pytest.mark.parametrize(
    "pin",
    ["0000", "1234", "01234", "0o17", "0x1F", "+1234", "-1234", "1234.0", "1e3", "12345678", ".5", "0", "00000000"],
)
def test_a_pin_without_quotes_is_never_taken(tmp_path: Path, pin: str) -> None:
    problem = only(tmp_path, f"modems:\n  - port: /dev/x\n    pin: {pin}\n")
    assert (problem.line, problem.path, problem.message) == (3, "modems[0].pin", "is read as a number here")
    assert problem.hint == f'put it in quotes: pin: "{pin}"'


@pytest.mark.parametrize("pin", ["true", "null", "~", "", "1_234", "12:34", "[1234]", "'123'", "'123456789'", "'12a4'"])
def test_what_is_no_pin_is_said_so(tmp_path: Path, pin: str) -> None:
    problem = only(tmp_path, f"modems:\n  - port: /dev/x\n    pin: {pin}\n")
    assert "4 to 8 digits in quotes" in problem.message


@pytest.mark.parametrize("pin", ['"0000"', "'0000'", "!!str 0000"])
def test_a_pin_in_quotes_keeps_its_zeros(tmp_path: Path, pin: str) -> None:
    settings = load(write(tmp_path, f"modems:\n  - port: /dev/x\n    pin: {pin}\n"), environ={})
    assert settings.modems[0].pin == "0000"


@pytest.mark.parametrize(
    ("entry", "path", "words"),
    [
        ("{pattern: '(?P<amount>.)'}", "balance[0]", "no way to ask"),
        ("{ussd: '*1#', sms: {to: '1755', text: B}, pattern: '(?P<amount>.)'}", "balance[0]", "two ways to ask"),
        ("{sms: {to: '1755', text: B}, replies: ['1'], pattern: '(?P<amount>.)'}", "balance[0].replies", "no menu"),
        ("{ussd: '*1#', pattern: '(?P<sum>.)'}", "balance[0].pattern", "no group for the amount"),
        ("{ussd: '*1#', pattern: '(?P<amount>.'}", "balance[0].pattern", "no regular expression"),
        ("{ussd: '*1#'}", "balance[0]", "pattern is missing"),
        ("{ussd: '21', pattern: '(?P<amount>.)'}", "balance[0].ussd", "must be a code"),
        ("{ussd: '*1#', sim: 8936, pattern: '(?P<amount>.)'}", "balance[0].sim", "read as a number"),
        ("{ussd: '*1#', low: '5', pattern: '(?P<amount>.)'}", "balance[0].low", "must be a number"),
    ],
)
def test_a_balance_that_cannot_be_had_is_said(tmp_path: Path, entry: str, path: str, words: str) -> None:
    problem = only(tmp_path, f"balance:\n  - {entry}\n")
    assert problem.path.startswith(path)
    assert words in problem.message


def test_secrets_stay_out_of_the_settings_text(tmp_path: Path) -> None:
    shown = repr(load(write(tmp_path, FULL), environ={}))
    assert "s3cr" not in shown
    assert "0000" not in shown


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "{}", "mqtt:\nmodems:\nsending:\ncontacts:\ngroups:\n"])
def test_nothing_written_means_the_defaults(tmp_path: Path, text: str) -> None:
    settings = load(write(tmp_path, text), environ={"XDG_STATE_HOME": "/state"})
    assert settings.mqtt == Settings().mqtt
    assert settings.modems == ()
    assert settings.data_dir == Path("/state/sms-bridge")


def test_no_file_needs_no_yaml() -> None:
    code = (
        "import sys; from sms_bridge.config import load; s = load(None); assert s.mqtt.local;"
        "assert not [m for m in sys.modules if m.startswith(('ruamel', 'voluptuous'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/sms-bridge", "XDG_STATE_HOME": "/x"}, "/var/lib/sms-bridge"),
        ({"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/home/u"}, "/x/sms-bridge"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/home/u"}, "/home/u/.local/state/sms-bridge"),
        ({"HOME": "/home/u"}, "/home/u/.local/state/sms-bridge"),
    ],
)
def test_where_the_journal_goes(environ: dict[str, str], expected: str) -> None:
    assert default_data_dir(environ) == Path(expected)


def test_data_on_the_command_line_wins(tmp_path: Path) -> None:
    assert load(write(tmp_path, FULL), data_dir=Path("/elsewhere"), environ={}).data_dir == Path("/elsewhere")
    assert load(None, data_dir=Path("/elsewhere"), environ={}).data_dir == Path("/elsewhere")


def test_which_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find({}) in (None, Path("/etc/sms-bridge.yaml"))
    write(tmp_path, "")
    assert find({}) == Path("sms-bridge.yaml")
    assert find({"SMS_BRIDGE_CONFIG": "/named.yaml"}) == Path("/named.yaml")


def test_passwords_from_a_file_and_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush\n")
    named = write(tmp_path, "mqtt: {host: h, username: u, password_file: secret}\n")
    assert load(named, environ={"SMS_BRIDGE_MQTT_PASSWORD": "other"}).mqtt.password == "hush"
    bare = write(tmp_path, "mqtt: {host: h, username: u}\n", "b.yaml")
    assert load(bare, environ={"SMS_BRIDGE_MQTT_PASSWORD": "other"}).mqtt.password == "other"
    assert load(None, environ={"SMS_BRIDGE_MQTT_PASSWORD": "other"}).mqtt.password == "other"
    assert "secret" in only(tmp_path, "mqtt: {host: h, username: u, password_file: nowhere/secret}").message
    (tmp_path / "empty").write_text("\n")
    assert "one line" in only(tmp_path, "mqtt: {host: h, username: u, password_file: empty}").message


@pytest.mark.parametrize(
    ("text", "line", "path", "message", "hint"),
    [
        ("modems:\n  - port: /dev/x\n    pin: 0000\n", 3, "modems[0].pin", "number", 'pin: "0000"'),
        ("modems:\n  - port: /dev/x\n    pin: 0o17\n", 3, "modems[0].pin", "number", 'pin: "0o17"'),
        ("modems:\n  - port: /dev/x\n    pin: '12'\n", 3, "modems[0].pin", "4 to 8 digits", ""),
        ("contacts:\n  anna: +36301234567\n", 2, "contacts.anna", "number", 'anna: "+36301234567"'),
        ("contacts:\n  anna: 06301234567\n", 2, "contacts.anna", "number", 'anna: "06301234567"'),
        ("guards: {allow_countries: [UK]}\n", 1, "guards.allow_countries[0]", "no country", "write GB"),
        ("guards: {deny: [+3690]}\n", 1, "guards.deny[0]", "number", '- "+3690"'),
        ("guards: {duplicates: 20}\n", 1, "guards.duplicates", "must be off", "20/1h"),
        ("guards: {quiet_hours: late}\n", 1, "guards.quiet_hours", "hours look like", "22:00-07:00"),
        ("contacts: {a: {number: '112', quiet: x}}\n", 1, "contacts.a.quiet", "no such key", "quiet_hours"),
        ("contacts: {a: {name: x}}\n", 1, "contacts.a", "number is missing", "add number"),
        ("contacts:\n  anna: call me\n", 2, "contacts.anna", "phone number", ""),
        ("contacts:\n  36301234567: '+36301234567'\n", 2, "contacts.36301234567", "one of them no digit", ""),
        ("groups:\n  g:\n    - +36301234567\n", 3, "groups.g[0]", "number", '- "+36301234567"'),
        ("groups:\n  g: [nobody]\n", 2, "groups.g[0]", "no such contact", "add nobody under contacts"),
        ("contacts: {a: '112'}\ngroups:\n  a: ['113']\n", 3, "groups.a", "contact has this name", "rename"),
        ("contacts: {a: '112'}\ngroups:\n  g: [a]\n  h: [g]\n", 4, "groups.h[0]", "this is a group", "members"),
        ("mqtt:\n  hots: x\n", 2, "mqtt.hots", "no such key", "did you mean host?"),
        ("mqtt:\n  broker: x\n", 2, "mqtt.broker", "no such key", "did you mean host?"),
        ("Modems: []\n", 1, "Modems", "no such key", "did you mean modems?"),
        ("zzz: 1\n", 1, "zzz", "no such key", "known here: mqtt, modems"),
        ("mqtt:\n  host: mqtt://10.0.0.1:1884\n", 2, "mqtt.host", "host name", "host: 10.0.0.1 and port: 1884"),
        ("mqtt:\n  host: broker:1884\n", 2, "mqtt.host", "host name", "write host: broker and port: 1884"),
        ("mqtt:\n  host: h\n  port: '1883'\n", 3, "mqtt.port", "must be a number", "remove the quotes"),
        ("mqtt:\n  host: h\n  port: 70000\n", 3, "mqtt.port", "from 1 to 65535", ""),
        ("mqtt:\n  port: 1884\n", 2, "mqtt.port", "no host", "host: 127.0.0.1"),
        ("mqtt:\n  host: h\n  protocol: 4\n", 3, "mqtt.protocol", "one of auto, 5, 311", ""),
        ("mqtt:\n  host: h\n  password: x\n", 1, "mqtt", "without a username", "add username"),
        ("mqtt:\n  host: h\n  base_topic: sms/#\n", 3, "mqtt.base_topic", "topic without", ""),
        ("mqtt:\n  host: h\n  base_topic: /sms/\n", 3, "mqtt.base_topic", "topic without", "write sms"),
        ("mqtt:\n  host: h\n  tls:\n    ca: none.pem\n", 4, "mqtt.tls.ca", "there is no file", "check the path"),
        ("mqtt: 192.168.1.10\n", 1, "mqtt", "group of keys", "host: 192.168.1.10"),
        ("modems: /dev/ttyUSB0\n", 1, "modems", "must be a list", "- port: /dev/ttyUSB2"),
        ("modems:\n  - name: x\n", 2, "modems[0]", "one of imei, iccid, usb_path, port", 'imei: "86'),
        ("modems:\n  -\n", 2, "modems[0]", "one of imei, iccid, usb_path, port", 'imei: "86'),
        (
            "modems:\n  - port: /dev/x\n    usb_path: 1-1\n",
            2,
            "modems[0].port",
            "stands beside usb_path",
            "keep one",
        ),
        (
            "modems:\n  - imei: 860461024123456\n",
            2,
            "modems[0].imei",
            "number",
            'imei: "860461024123456"',
        ),
        ("modems:\n  - iccid: 8936304444000012345\n", 2, "modems[0].iccid", "number", 'iccid: "8936304444000012345"'),
        ("modems:\n  - imei: '86046102412345'\n", 2, "modems[0].imei", "15 digits", ""),
        ("modems:\n  - iccid: '36304444000012345'\n", 2, "modems[0].iccid", "beginning with 89", ""),
        ("modems:\n  - usb_path: usb1\n", 2, "modems[0].usb_path", "a plug such as 1-1.3", "sms-bridge modems"),
        (
            "modems:\n  - imei: '860461024123456'\n  - imei: 860461 02 412345 6\n",
            3,
            "modems[1].imei",
            "has this IMEI too",
            "its own",
        ),
        ("usb: {adapters: yes}\n", 1, "usb.adapters", "one of auto, never", ""),
        ("modems:\n  - port: ttyUSB0\n", 2, "modems[0].port", "a device", "write /dev/ttyUSB0"),
        ("modems:\n  - port: 10.0.0.7:2217\n", 2, "modems[0].port", "a device", "socket://10.0.0.7:2217"),
        ("modems:\n  - port: COM3\n", 2, "modems[0].port", "a device", "sms-bridge modems"),
        ("modems:\n  - port: /dev/x\n    name: Stick 1\n", 3, "modems[0].name", "a name of", "write stick-1"),
        ("modems:\n  - port: /dev/x\n    name: auto\n", 3, "modems[0].name", "not auto", ""),
        ("modems:\n  - port: /dev/x\n    enabled: yes\n", 3, "modems[0].enabled", "true or false", "enabled: true"),
        ("modems:\n  - {port: /dev/x}\n  - {port: /dev/x}\n", 3, "modems[1].port", "has this port too", "its own"),
        (
            "modems:\n  - {port: /dev/x, name: modem-2}\n  - {port: /dev/y}\n",
            3,
            "modems[1].name",
            "is called so too",
            "its own",
        ),
        (
            "modems:\n  - port: /dev/x\n    init_commands: ['AT+CPIN=\"1234\"']\n",
            3,
            "modems[0].init_commands[0]",
            "must not contain AT+CPIN",
            "pin:",
        ),
        ("inbound:\n  sweep_interval: 45 sec\n", 2, "inbound.sweep_interval", "must be a time", "45s, 10m"),
        ("inbound:\n  sweep_interval: 2d\n", 2, "inbound.sweep_interval", "between 5s and 10m", ""),
        ("self_test:\n  every: daily\n", 2, "self_test.every", "must be a time", "24h"),
        ("self_test:\n  budget: 5\n", 2, "self_test.budget", "a number, at most 100, in a time", "budget: 5/day"),
        ("self_test:\n  budget: 500/day\n", 2, "self_test.budget", "at most 100", "budget: 2/day"),
        ("self_test:\n  between: some\n", 2, "self_test.between", "must be all, or a list", ""),
        ("self_test:\n  between: [Stick 1]\n", 2, "self_test.between[0]", "a name of a-z", "write stick-1"),
        ("virtual_modems: {latency: 6-2}\n", 1, "virtual_modems.latency", "smaller to the larger", "2-6"),
        ("default_region: Hungary\n", 1, "default_region", "two letters", ""),
        ("default_region: 36\n", 1, "default_region", "number", 'default_region: "36"'),
        ("logging:\n  level: warn\n", 2, "logging.level", "one of debug", "did you mean warning?"),
        ("logging:\n  level: info\n  level: debug\n", 3, "logging.level", "stands twice, first in line 2", "keep one"),
        ("data_dir: !secret x\n", 1, "", "tags such as !secret", "password_file"),
        (f"recovery:\n  power_switch: {{topic: a/+/set, {OFF_ON}}}\n", 2, SWITCH, "topic without +", ""),
        (f"recovery:\n  power_switch: {{topic: $SYS/a, {OFF_ON}}}\n", 2, SWITCH, "leading $", ""),
        (
            f"recovery:\n  power_switch: {{topic: sms/out, {OFF_ON}}}\n",
            2,
            SWITCH,
            "the bridge itself",
            "the plug obeys",
        ),
        (f"recovery:\n  power_switch: {{topic: sms, {OFF_ON}}}\n", 2, SWITCH, "the bridge itself", ""),
        (
            f"mqtt: {{host: h, base_topic: home/sms}}\nmodems:\n  - port: /dev/x\n    recovery:\n"
            f"      power_switch: {{topic: home/sms/out, {OFF_ON}}}\n",
            5,
            f"modems[0].{SWITCH}",
            "the bridge itself",
            "",
        ),
        (
            "recovery:\n  power_switch: {topic: plug/set, off: OFF, on: OFF}\n",
            2,
            SWITCH[:-5] + "on",
            "on with what",
            "",
        ),
        ("recovery:\n  power_switch: {topic: plug/set, off: 0, on: 1}\n", 2, SWITCH[:-5] + "off", "number", 'off: "0"'),
        ("recovery:\n  power_switch: {topic: plug/set, on: 'ON'}\n", 2, SWITCH[:-6], "off is missing", "add off"),
        (
            f"recovery:\n  power_switch: {{topic: p, {OFF_ON}, off_time: 0}}\n",
            2,
            SWITCH[:-5] + "off_time",
            "between 1s",
            "",
        ),
        ("recovery: plug/set\n", 1, "recovery", "group of keys", "power_switch:"),
        ("mqtt:\n\thost: x\n", 2, "", "'\\t'", "not with tabs"),
        ("mqtt:\n  host: 'x\n", 3, "", "end of stream", "left open"),
        ("a: *b\n", 1, "", "nothing above is called &b", "needs quotes"),
        ("a: 1\n---\nb: 2\n", 2, "", "second document", "remove"),
        ("{a: " * 30 + "1" + "}" * 30, 1, "", "nested deeper", ""),
        ("- a\n- b\n", 1, "", "group of keys", ""),
        ("just text\n", 1, "", "group of keys", ""),
        ("a: \x01\n", 1, "", "U+0001", ""),
        (b"mqtt:\n  # caf\xe9\n  host: x\n", 2, "", "0xe9 is not UTF-8", "UTF-8"),
        ('a: "\\UFFFFFFFF"\n', 0, "", "", ""),
    ],
)
def test_a_mistake_is_answered_with_its_line_and_the_way_out(
    tmp_path: Path, text: str | bytes, line: int, path: str, message: str, hint: str
) -> None:
    found = [problem for problem in problems(tmp_path, text) if message in problem.message and hint in problem.hint]
    assert found, problems(tmp_path, text)
    assert (found[0].line, found[0].path) == (line, path)
    assert str(found[0]).startswith(f"{tmp_path}/sms-bridge.yaml:" if line else str(tmp_path))


def test_all_mistakes_come_at_once_and_in_order(tmp_path: Path) -> None:
    text = (
        "mqtt:\n  hots: x\nmodems:\n  - prot: /dev/x\n    pin: 0000\n  - port: ttyUSB1\n"
        "contacts:\n  Ä: 1\ngroups:\n  g: [who]\nlogging: {level: x, levle: y}\n"
    )
    found = problems(tmp_path, text)
    assert [problem.line for problem in found] == sorted(problem.line for problem in found)
    assert [(problem.line, problem.path) for problem in found] == [
        (2, "mqtt.hots"),
        (4, "modems[0]"),
        (4, "modems[0].prot"),
        (5, "modems[0].pin"),
        (6, "modems[1].port"),
        (8, "contacts.Ä"),
        (10, "groups.g[0]"),
        (11, "logging.level"),
        (11, "logging.levle"),
    ]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="this is a folder"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "none" / "none.yaml")


def test_the_yaml_1_1_traps_are_none_here(tmp_path: Path) -> None:
    settings = load(write(tmp_path, "default_region: NO\nmqtt: {host: h, username: on, base_topic: null-1}\n"))
    assert settings.default_region == "NO"
    assert settings.mqtt.username == "on"


def test_anchors_are_read(tmp_path: Path) -> None:
    text = "contacts:\n  anna: &n '+36301234567'\n  office: *n\ngroups:\n  a: &g [anna]\n  b: *g\n"
    settings = load(write(tmp_path, text))
    assert settings.contacts["office"] == "+36301234567"
    assert settings.groups["b"] == ("@anna",)


def test_a_container_is_told_of_its_broker_by_the_environment(tmp_path: Path) -> None:
    environ = {
        f"SMS_BRIDGE_MQTT_{key}": value for key, value in (("HOST", "broker"), ("PORT", "1884"), ("USERNAME", "me"))
    }
    for found in (load(environ=environ), load(write(tmp_path, "mqtt: {base_topic: home/sms}\n"), environ=environ)):
        assert (found.mqtt.host, found.mqtt.port, found.mqtt.username, found.mqtt.local) == (
            "broker",
            1884,
            "me",
            False,
        )
    assert load(write(tmp_path, "mqtt: {host: mine}\n"), environ=environ).mqtt.port == 1883, "the file wins as a whole"
    with pytest.raises(ConfigError, match=r"SMS_BRIDGE_MQTT_PORT: must be a whole number"):
        load(environ={**environ, "SMS_BRIDGE_MQTT_PORT": "x"})
