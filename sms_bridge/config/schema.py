"""The one description of the configuration: voluptuous checks with it, the JSON Schema is made from it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

import voluptuous as vol

from sms_bridge.config.kinds import (
    NAME,
    Budget,
    Choice,
    Duration,
    Flag,
    ListOf,
    Number,
    Rate,
    Real,
    Section,
    Several,
    Span,
    Text,
    Whole,
    Wrong,
    as_name,
)
from sms_bridge.config.sections.commands import COMMANDS
from sms_bridge.config.sections.guards import GUARDS
from sms_bridge.config.sections.home_assistant import HOME_ASSISTANT
from sms_bridge.config.sections.people import CONTACTS, GROUPS, PHONE, RAW_PHONE, phone_digits
from sms_bridge.config.sections.replies import REPLIES
from sms_bridge.config.sections.routing import ROUTING
from sms_bridge.config.sections.smpp import ACCOUNTS
from sms_bridge.config.sections.web import WEBHOOK, web
from sms_bridge.config.sections.websettings import DEFAULT_SCOPES, WebhookSettings, WebSettings
from sms_bridge.config.settings import DAY, OFF_TIME, BalanceSettings, Settings, TlsSettings
from sms_bridge.config.smpp import SmppSettings
from sms_bridge.core.commands import FORBIDDEN_COMMANDS
from sms_bridge.core.guards import Rate as Limit
from sms_bridge.core.patterns import MAX_PATTERN

BAUDRATES = (1200, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600)


class _AtCommand(Text):
    def __call__(self, value: Any) -> str:
        text = super().__call__(value)
        found = FORBIDDEN_COMMANDS.match(text)
        if found:
            what = "the PIN belongs under `pin:`" if "CPIN" in found[0].upper() else "leave it out"
            raise Wrong(f"must not contain {found[0]}", what)
        return text


class _Pattern(Text):
    def __call__(self, value: Any) -> str:
        text = super().__call__(value)
        try:
            groups = re.compile(text).groupindex
        except re.error as error:
            raise Wrong(f"is no regular expression: {error}", "test it with one answer of the operator") from None
        if "amount" not in groups:
            raise Wrong("has no group for the amount", "put (?P<amount>[0-9 .,]+) where the amount stands")
        return text


def _opt(key: str, description: str) -> Any:
    return vol.Optional(key, description=description)


def _path_hint(_text: str) -> str:
    return "write a path such as /etc/sms-bridge/ca.pem"


def _port_hint(text: str) -> str:
    if re.fullmatch(r"tty\w+", text):
        return f"write /dev/{text}"
    if re.fullmatch(r"[\w.-]+:[0-9]+", text):
        return f"write socket://{text}"
    return "`sms-bridge modems` lists the ports"


def _host_hint(text: str) -> str:
    scheme = re.fullmatch(r"(\w+)://([\w.-]+)(?::([0-9]+))?/?", text)
    if scheme:
        port = f" and port: {scheme[3]}" if scheme[3] else ""
        tls = " and tls: {}" if scheme[1] in ("mqtts", "ssl", "tls") else ""
        return f"write host: {scheme[2]}{port}{tls}"
    with_port = re.fullmatch(r"([\w.-]+):([0-9]+)", text)
    return f"write host: {with_port[1]} and port: {with_port[2]}" if with_port else ""


IMEI = Text(
    r"[0-9]{15}", "the 15 digits of an IMEI in quotes", clean=phone_digits, raw=r"[\s()./-]*(?:[0-9][\s()./-]*){15}"
)
ICCID = Text(
    r"89[0-9]{16,20}",
    "the 18 to 22 digits on the SIM in quotes, beginning with 89",
    clean=phone_digits,
    raw=r"[\s()./-]*8[\s()./-]*9(?:[\s()./-]*[0-9]){16,20}[\s()./-]*",
)
USB_PATH = Text(
    r"[0-9]{1,3}-[0-9]{1,3}(?:\.[0-9]{1,3}){0,6}",
    "a plug such as 1-1.3",
    hint=lambda text: "`sms-bridge modems` shows it",
)
PIN = Text(r"[0-9]{4,8}", "4 to 8 digits in quotes")
MODEM_NAME = Text(
    rf"(?!auto\Z){NAME}",
    "a name of a-z, 0-9, - and _ with at most 32 characters, and not auto",
    hint=lambda text: f"write {as_name(text)}" if as_name(text) not in ("", "auto") else "",
)
PORT = Text(
    r"/dev/[^\x00-\x20]+|/[^\x00-\x1f]+|(?:socket|rfc2217)://(?:\[[0-9a-fA-F:.]+\]|[\w.-]+):[0-9]{1,5}(?:\?[\w=&.-]*)?",
    "a device such as /dev/ttyUSB2, or socket://host:port, or rfc2217://host:port",
    hint=_port_hint,
)
HOST = Text(
    r"[A-Za-z0-9][\w.-]{0,252}|\[?[0-9a-fA-F]{0,4}:[0-9a-fA-F:.]{1,40}\]?", "a host name or an address", hint=_host_hint
)
FILE = Text(r"[^\x00-\x1f]{1,1024}", "the path of a file", hint=_path_hint)
LINE = Text(r"[^\x00-\x1f\x7f]{1,256}", "one line of text")
SECRET = Text(r"[^\x00\r\n]{1,1024}", "one line of text", clean=lambda text: text, raw=r"[^\x00\r\n]{1,1024}")
TOPIC = Text(
    r"(?!\$)[^\x00-\x20+#/]+(?:/[^\x00-\x20+#/]+){0,7}",
    "a topic without +, #, spaces, a leading $ and empty levels",
    hint=lambda text: f"write {text.strip('/')}" if text.strip("/") and not re.search(r"[+#$\s]|//", text) else "",
)
REGION = Text(
    r"[A-Z]{2}",
    "a country's two letters, such as HU",
    clean=lambda text: text.strip().upper(),
    raw=r"\s*[A-Za-z]{2}\s*",
)
USSD_CODE = Text(r"[*#][0-9*#+]{0,98}#", "a code such as *100#, in quotes")
USSD_ALLOWED = Text(r"[*#](?:[0-9*#+]|\{digits\}){0,98}#", "a code such as *102*{digits}#, in quotes")
USSD_REPLY = Text(r"[^\x00-\x1f\x7f]{1,160}", "what is chosen in the menu, in quotes")
ICCID_START = Text(r"89[0-9]{0,18}", "how an ICCID begins, such as 893620, in quotes")
SENDER = Text(r"[^\x00-\x1f\x7f]{1,20}", "a number, or the name that stands for it, in quotes")
SERVICE_NUMBER = Text(r"\+?[0-9]{3,15}", "a number such as 1755, in quotes", clean=phone_digits, raw=RAW_PHONE)
PATTERN = _Pattern(
    rf"[^\x00-\x1f]{{1,{MAX_PATTERN}}}",
    "a regular expression with the group (?P<amount>…)",
    clean=lambda text: text,
    raw=rf"(?=.*\(\?P<amount>)[^\x00-\x1f]{{1,{MAX_PATTERN}}}",
)
AT_COMMAND = _AtCommand(r"[Aa][Tt][\x20-\x7e]{0,200}", 'a command such as AT+CSCS="GSM"')

TLS = Section(
    {
        _opt("ca", "PEM file of the authority that signed the broker's certificate; without it the system's"): FILE,
        _opt("cert", "PEM file of this client's certificate, where the broker asks for one"): FILE,
        _opt("key", "PEM file of that certificate's key"): FILE,
        _opt("insecure", "take any certificate, for a first try only"): Flag(),
    },
    "ca: /etc/sms-bridge/ca.pem",
)

MQTT = Section(
    {
        _opt("host", "the broker; without it one on this machine is used, or started"): HOST,
        _opt("port", "the broker's port; 8883 is usual with tls"): Whole(1, 65_535),
        _opt("username", "as the broker knows the bridge"): LINE,
        _opt("password", "or the environment variable SMS_BRIDGE_MQTT_PASSWORD"): SECRET,
        _opt("password_file", "a file that holds the password alone"): FILE,
        _opt("tls", "an encrypted connection; `tls: {}` for the usual authorities"): TLS,
        _opt("base_topic", "what all topics begin with"): TOPIC,
        _opt("client_id", "name of the bridge's session; one bridge a name"): Text(
            r"[\x21-\x7e]{1,64}", "1 to 64 characters without spaces"
        ),
        _opt("protocol", "version of MQTT; auto tries 5 first"): Choice(
            "auto", "5", "311", also={5: "5", 311: "311", "3.1.1": "311"}
        ),
        _opt("keepalive", "seconds between signs of life"): Whole(5, 3600),
        _opt("publish_last", "keep the last message on sms/last/in and sms/last/out, retained"): Flag(),
    },
    "host: 192.168.1.10",
)

QUOTA = Section(
    {
        _opt("per_minute", "parts in any 60 seconds"): Whole(1, 1_000),
        _opt("per_hour", "parts in any hour"): Whole(1, 100_000),
        _opt("per_day", "parts from midnight to midnight, local time"): Whole(1, 1_000_000),
        _opt("per_month", "parts a month of the bill"): Whole(1, 10_000_000),
        _opt("recipients_per_month", "different recipients a month of the bill"): Whole(1, 1_000_000),
        _opt("cycle_day", "day of the month on which the month of the bill begins"): Whole(1, 31),
    },
    "per_day: 500",
)

SWITCH_TOPIC = Text(
    r"(?!\$)[^\x00-\x1f+#/ ][^\x00-\x1f+#/]*(?:/[^\x00-\x1f+#/]+){0,15}",
    "a topic without +, #, a leading $ and empty levels, such as zigbee2mqtt/plug-1/set",
)

SWITCH = Section(
    {
        vol.Required("topic", description="the topic that the plug obeys"): SWITCH_TOPIC,
        vol.Required("off", description="what switches it off, in quotes"): LINE,
        vol.Required("on", description="what switches it on, in quotes"): LINE,
        _opt("off_time", "how long it stays off"): Duration(1, 600),
    },
    "topic: zigbee2mqtt/plug-1/set",
)

RECOVERY = Section(
    {_opt("power_switch", "a plug that takes the power away, by MQTT; of the last steps the last"): SWITCH},
    "power_switch:",
)

MODEM = Section(
    {
        _opt("imei", "of the modem, in quotes: the name and the rest of this entry follow it into any plug"): IMEI,
        _opt("iccid", "of a SIM, in quotes: they follow the SIM into any modem"): ICCID,
        _opt("usb_path", "a plug, such as 1-1.3: they are for whatever modem is in it"): USB_PATH,
        _opt("port", "/dev/…, socket://host:port or rfc2217://host:port"): PORT,
        _opt("name", "its name in topics; without it modem-1, modem-2, …"): MODEM_NAME,
        _opt("baudrate", "bits per second on the wire; USB sticks ignore it"): Number(*BAUDRATES),
        _opt("pin", "the SIM's PIN, in quotes; tried once"): PIN,
        _opt("number", "the SIM's own number, in quotes"): PHONE,
        _opt("enabled", "false: leave this modem alone"): Flag(),
        _opt("quota", "limits of the SIM in this modem, where they differ from the common ones"): QUOTA,
        _opt("init_commands", "AT commands after the bridge's own set-up"): ListOf(AT_COMMAND, 20, "- AT+CGSMS=1"),
        _opt("recovery", "as `recovery` below, for this modem"): RECOVERY,
        _opt("roaming", "true: the SIM is meant to be abroad, and that is no reason to warn"): Flag(),
    },
    'imei: "860461024123456"',
    one_of=("imei", "iccid", "usb_path", "port"),
)

BALANCE = Section(
    {
        _opt("modem", "the modem that this is for; without it any"): MODEM_NAME,
        _opt("sim", "how the ICCID of the SIMs that this is for begins; without it any"): ICCID_START,
        _opt("ussd", "the code that is answered with the balance"): USSD_CODE,
        _opt("replies", "what is chosen in its menus, one after the other"): ListOf(USSD_REPLY, 5, '- "1"'),
        _opt("sms", "or the message that is answered with it"): Section(
            {
                vol.Required("to", description="the number that it is sent to"): SERVICE_NUMBER,
                vol.Required("text", description="the text"): LINE,
                _opt("from", "who answers; without it the number that it is sent to"): ListOf(SENDER, 10, '- "1755"'),
                _opt("per_month", "messages within 30 days, at most"): Whole(1, 1000),
            },
            'to: "1755"',
        ),
        vol.Required(
            "pattern", description="a regular expression with amount, and perhaps currency and expires"
        ): PATTERN,
        _opt("currency", "where the answer names none"): Text(r"\S{1,8}", "a currency such as HUF"),
        _opt("month_first", "dates such as 01/31/2031"): Flag(),
        _opt("every", "ask so often"): Duration(3600, 60 * DAY),
        _opt("low", "below it, the event balance_low"): Real(-1e9, 1e9),
        _opt("expires_soon", "so long before it ends, the event sim_expires_soon"): Duration(DAY, 366 * DAY),
    },
    'ussd: "*100#"',
)

ROOT = Section(
    {
        _opt("mqtt", "the broker"): MQTT,
        _opt("modems", "names and PINs for modems; serial ports and servers"): ListOf(
            MODEM, 64, "- port: /dev/ttyUSB2"
        ),
        _opt("usb", "modems that are found in their plugs"): Section(
            {
                _opt("discover", "false: only what stands under modems with a port"): Flag(),
                _opt("adapters", "auto: ask bare serial adapters whether a modem is behind them; never"): Choice(
                    "auto", "never"
                ),
            },
            "adapters: never",
        ),
        _opt("virtual_modems", "emulated modems, used when there is no other"): Section(
            {
                _opt("count", "how many; 0: none"): Whole(0, 16),
                _opt("latency", "seconds that the emulated network takes for a message, or a range"): Span(),
            },
            "count: 2",
        ),
        _opt("default_region", "country that completes national numbers, two letters"): REGION,
        _opt("data_dir", "folder of the journal"): FILE,
        _opt("inbound", "received messages"): Section(
            {
                _opt("reassembly_timeout", "wait for missing parts, then publish the rest"): Duration(60, 30 * DAY),
                _opt("sweep_interval", "read all storages this often, announced or not"): Duration(5, 600),
                _opt("delete_after_read", "delete from the SIM what is stored here"): Flag(),
                _opt("dedupe_window", "the same message within this time is published once"): Duration(0, 30 * DAY),
            },
            "sweep_interval: 45s",
        ),
        _opt("sending", "orders on their way out"): Section(
            {
                _opt("result_timeout", "wait for the network's answer to a part"): Duration(30, 600),
                _opt("prompt_timeout", "wait for the modem's prompt"): Duration(1, 60),
                _opt("max_attempts", "tries of what was surely not sent"): Whole(1, 20),
                _opt("retry_delay", "wait before the second try; doubles with each"): Duration(1, DAY),
                _opt("sticky", "a conversation keeps to its SIM: prefer, strict (rather wait) or off"): Choice(
                    "prefer", "strict", "off"
                ),
                _opt("sticky_ttl", "after so much silence any SIM may write to a number"): Duration(60, 365 * DAY),
                _opt("stop_grace", "at the end, wait for the send in flight"): Duration(0, 600),
            },
            "max_attempts: 3",
        ),
        _opt("quota", "what each SIM may send, in parts; counted by ICCID, kept across restarts"): QUOTA,
        _opt("limits", "what is too much"): Section(
            {
                _opt("max_parts", "parts per message; a longer text is rejected"): Whole(1, 255),
                _opt("max_recipients", "recipients per order, groups counted in full"): Whole(1, 10_000),
            },
            "max_parts: 10",
        ),
        _opt("retention", "how long finished messages are kept"): Section(
            {
                _opt("messages", "sent and received messages"): Duration(3600, 3650 * DAY),
                _opt("raw", "what could not be decoded"): Duration(3600, 3650 * DAY),
                _opt("unpublished", "what no broker was there to take"): Duration(3600, 3650 * DAY),
            },
            "messages: 30d",
        ),
        _opt("recovery", "what may be done about a modem that fails"): RECOVERY,
        _opt("ussd", "codes that may be sent"): Section(
            {_opt("allow", "codes besides short ones such as *100#"): ListOf(USSD_ALLOWED, 100, '- "*102*{digits}#"')},
            'allow: ["*102*{digits}#"]',
        ),
        _opt("at_console", "AT commands by the request modem/at, for who looks for a fault"): Section(
            {_opt("enabled", "true: answer it"): Flag()}, "enabled: true"
        ),
        _opt("calls", "incoming calls"): Section({_opt("hang_up", "refuse all of them"): Flag()}, "hang_up: true"),
        _opt("balance", "how the balance of SIMs is had"): ListOf(BALANCE, 64, '- ussd: "*100#"'),
        _opt("self_test", "modems text each other now and then; costs messages"): Section(
            {
                _opt("every", "each modem sends one so often; without it on request only"): Duration(900, 365 * DAY),
                _opt("budget", "how many messages may be spent on it"): Budget(),
                _opt("between", "the modems that take part"): Several(MODEM_NAME, "all", 64, "[stick-1, stick-2]"),
                _opt("timeout", "one that has not arrived after this time is lost"): Duration(60, DAY),
            },
            "every: 24h",
        ),
        _opt("health", "when delivery reports count as missing"): Section(
            {
                _opt("unreported", "so many messages in a row without a report are a warning"): Whole(2, 1000),
                _opt("report_time", "wait at least so long for a report"): Duration(60, DAY),
            },
            "unreported: 5",
        ),
        _opt("replies", "messages that answer an order"): REPLIES,
        _opt("commands", "what somebody may do by SMS"): COMMANDS,
        _opt("logging", "what the bridge says of itself"): Section(
            {
                _opt("level", "the least that is logged"): Choice("debug", "info", "warning", "error"),
                _opt("json", "one JSON object per line"): Flag(),
                _opt("mqtt", "publish warnings and errors on sms/bridge/logging"): Flag(),
            },
            "level: info",
        ),
        _opt("web", "REST, health, metrics and live events over HTTP; off without it"): web(HOST),
        _opt("webhooks", "where events are posted to"): ListOf(WEBHOOK, 32, "- url: https://house.example/sms"),
        _opt("guards", "who may be written to, how often, and when"): GUARDS,
        _opt("routing", "which routes a message takes"): ROUTING,
        _opt("home_assistant", "devices and entities in Home Assistant"): HOME_ASSISTANT,
        _opt("smpp", "accounts at message centres (SMPP 3.4), by names of your own"): ACCOUNTS,
        _opt("contacts", "names for numbers; @name in orders"): CONTACTS,
        _opt("groups", "names for several contacts or numbers"): GROUPS,
        _opt("version", "of the form of this file; without it 1"): Whole(1, 1000),
    },
    "mqtt:",
)


def json_schema() -> dict[str, Any]:
    """The configuration as a JSON Schema (2020-12), with the defaults of the settings."""
    schema = ROOT.json
    defaults = Settings()
    for name, value in schema["properties"].items():
        group = getattr(defaults, name, None)
        if dataclasses.is_dataclass(group):
            _put_defaults(value["properties"], group)
    tls = schema["properties"]["mqtt"]["properties"]["tls"]
    _put_defaults(tls["properties"], TlsSettings())
    item = schema["properties"]["modems"]["items"]["properties"]
    _put_defaults(schema["properties"]["balance"]["items"]["properties"], BalanceSettings())
    _put_defaults(schema["properties"]["smpp"]["additionalProperties"]["properties"], SmppSettings())
    item["baudrate"]["default"], item["enabled"]["default"] = 115_200, True
    for recovery in (schema["properties"]["recovery"], item["recovery"]):
        recovery["properties"]["power_switch"]["properties"]["off_time"]["default"] = OFF_TIME
    item["roaming"]["default"] = False
    schema["properties"]["self_test"]["properties"]["between"]["default"] = "all"
    web_keys = schema["properties"]["web"]["properties"]
    _put_defaults(web_keys, WebSettings())
    _put_defaults(schema["properties"]["webhooks"]["items"]["properties"], WebhookSettings("", ""))
    web_keys["tokens"]["items"]["properties"]["scopes"]["default"] = list(DEFAULT_SCOPES)
    schema["properties"]["home_assistant"]["properties"]["notify"]["default"] = "all"
    del schema["properties"]["mqtt"]["properties"]["host"]["default"]  # none named is not the same as 127.0.0.1
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sms-bridge configuration",
        **schema,
    }


def _put_defaults(properties: dict[str, Any], group: Any) -> None:
    for key, rule in properties.items():
        value = getattr(group, key, None)
        if key == "budget" and value is not None:
            value = Budget.spoken(value)
        elif isinstance(value, tuple) and all(isinstance(part, str) for part in value):
            value = list(value)
        elif isinstance(value, Limit):
            value = Rate.spoken(value.most, value.seconds)
        elif isinstance(value, tuple):
            value = "-".join(f"{part:g}" for part in value)
        elif isinstance(value, Enum):
            value = value.value
        if value not in (None, "", []) and not isinstance(value, Mapping) and not dataclasses.is_dataclass(value):
            rule["default"] = value
