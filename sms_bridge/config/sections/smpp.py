"""`smpp:` accounts at message centres: what a person may write, and the settings that it makes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import voluptuous as vol

from sms_bridge.config.kinds import NAME, Choice, Duration, Flag, ListOf, MapOf, Real, Section, Text, Whole, Wrong
from sms_bridge.config.smpp import NumberKind, SenderSettings, SmppSettings, SmppTlsSettings

MOST_PASSWORD = 8  # characters (SMPP 3.4 5.2.2)
MAX_PASSWORD_FILE = 4096
_NAMED = 11  # characters of a name as sender (TS 23.040 9.1.2.5)

_Path = tuple[Any, ...]
Complain = Callable[[_Path, str, str], None]
"""Takes where, what and what helps."""


def _opt(key: str, description: str) -> Any:
    return vol.Optional(key, description=description)


class _Limited(Text):
    """ASCII of at most so many characters. Longer ones are an error: cut, they would be another account's."""

    def __init__(self, most: int, what: str, *, least: int = 1) -> None:
        super().__init__(
            rf"[\x21-\x7e]{{{least},{most}}}",
            f"{what}: at most {most} characters without spaces, in quotes",
            hint=lambda text: (
                f"it has {len(text)} characters and SMPP carries {most}: is it the right one?"
                if len(text) > most
                else ""
            ),
        )


def _sender_hint(text: str) -> str:
    if re.fullmatch(r"\+?[0-9]{16,}", text):
        return "a number has at most 15 digits"
    return f"a name has at most {_NAMED} characters" if len(text) > _NAMED else ""


_SENDER_TEXT = Text(
    rf"\+?[0-9]{{3,15}}|(?=.*[^0-9+\s])[^\x00-\x1f\x7f]{{1,{_NAMED}}}",
    "a number such as +36201112222, a short code or a name of at most 11 characters, in quotes",
    hint=_sender_hint,
)
_COUNTRY = Text(
    r"[A-Z]{2}",
    "a country's two letters, such as HU",
    clean=lambda text: text.strip().upper(),
    raw=r"\s*[A-Za-z]{2}\s*",
)
_FILE = Text(r"[^\x00-\x1f]{1,1024}", "the path of a file")
_TON, _NPI = Whole(0, 6), Whole(0, 18)

_SENDER_GROUP = Section(
    {
        vol.Required("sender", description="the number, short code or name, in quotes"): _SENDER_TEXT,
        _opt("two_way", "whether it can be answered; without it numbers can and names cannot"): Flag(),
        _opt("countries", "only for messages to these countries"): ListOf(_COUNTRY, 300, "- HU"),
        _opt("throughput", "messages a second that it may carry"): Real(0.01, 10_000),
        _opt("ton", "type of number, where the account wants another than usual; with npi"): _TON,
        _opt("npi", "numbering plan, with ton"): _NPI,
    },
    'sender: "ACME"',
)


class _Sender:
    """A sender by itself, or with what it may."""

    @property
    def json(self) -> dict[str, Any]:
        return {"anyOf": [_SENDER_TEXT.json, _SENDER_GROUP.json]}

    def __call__(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {"sender": _SENDER_TEXT(value)}
        found = _SENDER_GROUP(value)
        if ("ton" in found) != ("npi" in found):
            raise Wrong("has one of ton and npi", "write both, or neither")
        return found


_TLS = Section(
    {
        _opt("ca", "PEM file of the authority that signed the centre's certificate; without it the system's"): _FILE,
        _opt("cert", "PEM file of this client's certificate, where the centre asks for one"): _FILE,
        _opt("key", "PEM file of that certificate's key"): _FILE,
        _opt("insecure", "take any certificate, for a first try only"): Flag(),
    },
    "ca: /etc/sms-bridge/ca.pem",
)

ACCOUNT = Section(
    {
        vol.Required("host", description="the message centre"): Text(
            r"[A-Za-z0-9][\w.-]{0,252}|\[?[0-9a-fA-F]{0,4}:[0-9a-fA-F:.]{1,40}\]?", "a host name or an address"
        ),
        _opt("port", "its port"): Whole(1, 65_535),
        vol.Required("system_id", description="the account, as the provider named it, in quotes"): _Limited(
            15, "the provider's name for the account"
        ),
        _opt("password", "or the environment variable SMS_BRIDGE_SMPP_<NAME>_PASSWORD"): _Limited(
            MOST_PASSWORD, "the password"
        ),
        _opt("password_file", "a file that holds the password alone"): _FILE,
        _opt("system_type", "where the provider asks for one"): _Limited(12, "the system_type"),
        _opt("tls", "an encrypted connection; `tls: {}` for the usual authorities"): _TLS,
        _opt("enabled", "false: the account is not used"): Flag(),
        _opt("bind", "one bind for both ways, or separate ones"): Choice("transceiver", "separate"),
        _opt("binds", "how many connections; the provider says how many are allowed"): Whole(1, 8),
        _opt("window", "messages under way without an answer, of each bind"): Whole(1, 1000),
        _opt("rate", "messages a second, of all binds; without it as fast as the window lets"): Real(0.01, 100_000),
        _opt("long_messages", "how parts are told to belong together"): Choice("udh", "sar", "payload"),
        _opt("charset", "what the centre takes for its default alphabet"): Choice(
            "gsm7", "gsm7_packed", "latin1", "ascii"
        ),
        _opt("service_type", "where the provider asks for one"): _Limited(5, "the service_type"),
        _opt("senders", "numbers and names that messages go out from, the usual one first"): ListOf(
            _Sender(), 100, '- "ACME"'
        ),
        _opt("destination", "type and plan of recipients' numbers, where the usual ones are not taken"): Section(
            {
                vol.Required("ton", description="type of number"): _TON,
                vol.Required("npi", description="numbering plan"): _NPI,
            },
            "ton: 1",
        ),
        _opt("enquire_link", "after so much silence the centre is asked whether it is there"): Duration(5, 3600),
        _opt("response_timeout", "a message without an answer for so long is unknown"): Duration(5, 600),
        _opt("vendor_errors", "what the provider's own error numbers mean"): MapOf(
            Text(r"0x[0-9A-Fa-f]{1,8}", 'a number such as "0x0410", in quotes'),
            Choice("fail", "fail_route", "retry", "throttled"),
            1000,
            '"0x0410": fail',
        ),
    },
    "host: smpp.example.com",
)

ACCOUNTS = MapOf(Text(NAME, "a name of a-z, 0-9, - and _ with at most 32 characters"), ACCOUNT, 32, "backup: {host: …}")


def environment_of(name: str) -> str:
    """The variable that holds an account's password."""
    return f"SMS_BRIDGE_SMPP_{name.upper().replace('-', '_')}_PASSWORD"


def smpp_settings(
    accounts: dict[str, Any], environ: Mapping[str, str], resolve: Callable[[str], Path], complain: Complain
) -> Mapping[str, SmppSettings]:
    """The checked section as settings. Reads password files."""
    made = {name: _account(name, data, environ, resolve, complain) for name, data in accounts.items()}
    return MappingProxyType(made)


def smpp_checks(accounts: Any) -> Iterator[tuple[_Path, str, str]]:
    """What no single value shows; the data may be wrong elsewhere."""
    for name, data in accounts.items() if isinstance(accounts, dict) else ():
        if not isinstance(data, dict):
            continue
        here = ("smpp", name)
        if "password" in data and "password_file" in data:
            yield (*here, "password_file"), "there are two passwords", "keep password or password_file"
        tls = data.get("tls")
        for one, other in (("cert", "key"), ("key", "cert")):
            if isinstance(tls, dict) and one in tls and other not in tls:
                yield (*here, "tls", one), f"needs {other} beside it", f"add {other}: …"


def _account(
    name: str,
    data: dict[str, Any],
    environ: Mapping[str, str],
    resolve: Callable[[str], Path],
    complain: Complain,
) -> SmppSettings:
    here = ("smpp", name)
    given = {key: value for key, value in data.items() if key != "password_file"}
    given["host"] = data["host"].strip("[]")
    if "password_file" in data:
        given["password"] = _from_file(resolve(data["password_file"]), (*here, "password_file"), complain)
    elif "password" not in data:
        found = environ.get(environment_of(name))
        if found is None:
            complain(here, "has no password", 'add password: "…", in quotes')
        elif len(found) > MOST_PASSWORD:
            complain(here, _too_long(environment_of(name), found), "")
        given["password"] = found or ""
    if "tls" in data:
        given["tls"] = _tls(data["tls"], (*here, "tls"), resolve, complain)
    if "destination" in data:
        given["destination"] = NumberKind(**data["destination"])
    given["senders"] = tuple(_sender(sender) for sender in data.get("senders", ()))
    given["vendor_errors"] = MappingProxyType(
        {int(number, 16): action for number, action in data.get("vendor_errors", {}).items()}
    )
    return SmppSettings(name=name, **given)


def _sender(data: dict[str, Any]) -> SenderSettings:
    given = dict(data)
    if "countries" in data:
        given["countries"] = tuple(data["countries"])
    return SenderSettings(**given)


def _tls(data: dict[str, Any], here: _Path, resolve: Callable[[str], Path], complain: Complain) -> SmppTlsSettings:
    paths: dict[str, Any] = {key: resolve(value) for key, value in data.items() if key != "insecure"}
    for key, path in paths.items():
        if not path.is_file():
            complain((*here, key), f"there is no file {path}", "check the path")
    return SmppTlsSettings(insecure=data.get("insecure", False), **paths)


def _from_file(path: Path, here: _Path, complain: Complain) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PASSWORD_FILE).decode("ascii").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not ASCII"
        complain(here, f"cannot read {path}: {why}", "the file holds the password alone, and this user may read it")
        return ""
    if not text or not text.isprintable():
        complain(here, f"{path} must hold one line, the password", "")
    elif len(text) > MOST_PASSWORD:
        complain(here, _too_long(str(path), text), "")
    return text


def _too_long(where: str, text: str) -> str:
    return f"the password in {where} has {len(text)} characters; SMPP carries at most {MOST_PASSWORD}"
