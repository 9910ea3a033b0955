"""Finds, reads and checks the configuration; everything that is wrong is said at once, with its line."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sms_bridge.config.errors import ConfigError, Problem
from sms_bridge.config.sections.websettings import Secret, WebSettings, web_settings, webhook_settings
from sms_bridge.config.settings import (
    AtConsoleSettings,
    BalanceSettings,
    BalanceSmsSettings,
    CallSettings,
    HomeAssistantSettings,
    InboundSettings,
    LimitSettings,
    LoggingSettings,
    ModemSettings,
    MqttSettings,
    PowerSwitchSettings,
    RecoverySettings,
    RetentionSettings,
    SendingSettings,
    Settings,
    TlsSettings,
    UsbSettings,
    UssdSettings,
    VirtualModemSettings,
    default_data_dir,
)
from sms_bridge.core.choice import Sticky
from sms_bridge.core.quota import Limits
from sms_bridge.core.settings import ReplySettings, SelfTestSettings, SilenceSettings

if TYPE_CHECKING:
    from sms_bridge.config.document import Document, KeyPath

log = logging.getLogger(__name__)

ENV_FILE = "SMS_BRIDGE_CONFIG"
ENV_PASSWORD = "SMS_BRIDGE_MQTT_PASSWORD"
# Where the configuration names no broker: a container is told of one so.
ENV_HOST, ENV_PORT, ENV_USERNAME = "SMS_BRIDGE_MQTT_HOST", "SMS_BRIDGE_MQTT_PORT", "SMS_BRIDGE_MQTT_USERNAME"
FILE_NAME = "sms-bridge.yaml"
PLACES = (Path(FILE_NAME), Path("/etc") / FILE_NAME)
SERVICE = Path("/var/lib/sms-bridge") / FILE_NAME  # where the service's options are, for who looks at it with sudo
MAX_PASSWORD_FILE = 4096
MIN_SECRET = 16  # characters of a token or secret that stands in a file or in the environment


def find(environ: Mapping[str, str] = os.environ, data_dir: Path | None = None) -> Path | None:
    """The file that is read when none is named.

    The environment's, ./sms-bridge.yaml, /etc/sms-bridge.yaml, and the one in the data folder, which the bridge itself
    makes when it is to keep options.
    """
    if environ.get(ENV_FILE):
        return Path(environ[ENV_FILE])
    own = (data_dir or default_data_dir(environ)) / FILE_NAME
    return next((place for place in (*PLACES, own, SERVICE) if _exists(place)), None)


def load(
    path: Path | None = None,
    *,
    data_dir: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    raw: bytes | None = None,
    upgrade: bool = False,
) -> Settings:
    """The settings in `path`, or without one the defaults. Reads files. Raises ConfigError with all problems.

    `raw`: the text that is to stand there, instead of what does. `upgrade`: a file of an older version is rewritten.
    """
    if path is None:
        mqtt = MqttSettings(**{"password": environ.get(ENV_PASSWORD), **_broker_of(environ)})
        return Settings(mqtt=mqtt, data_dir=data_dir or default_data_dir(environ))
    return _Loader(path, data_dir, environ, raw).settings(upgrade)


def _broker_of(environ: Mapping[str, str]) -> dict[str, Any]:
    """The broker that the environment names: containers get it so. ConfigError."""
    host = environ.get(ENV_HOST, "").strip().strip("[]")
    if not host:
        return {}
    found: dict[str, Any] = {"host": host, "local": False}
    if environ.get(ENV_USERNAME):
        found["username"] = environ[ENV_USERNAME]
    port = environ.get(ENV_PORT, "").strip()
    if port:
        if not port.isascii() or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65_536:
            raise ConfigError([Problem("the environment", 0, 0, ENV_PORT, "must be a whole number from 1 to 65535")])
        found["port"] = int(port)
    return found


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a folder of somebody else's
        return False


class _Loader:
    def __init__(self, path: Path, data_dir: Path | None, environ: Mapping[str, str], raw: bytes | None) -> None:
        self._path = path
        self._given = raw
        self._file = str(path)
        self._data_dir = data_dir
        self._environ = environ
        self._problems: list[Problem] = []

    def settings(self, upgrade: bool) -> Settings:
        # Here, not above: who has no file does not pay for YAML.
        from sms_bridge.config.checks import cross_checks
        from sms_bridge.config.migrations import migrate
        from sms_bridge.config.report import problems_of
        from sms_bridge.config.schema import ROOT

        migrated = migrate(self._raw() if self._given is None else self._given, self._file)
        document = migrated.document
        self._problems += document.problems
        data, errors = problems_of(ROOT, document, self._file)
        self._problems += errors
        self._problems += cross_checks(document, self._file)
        result = self._build(data, document) if data is not None else None
        if self._problems or result is None:
            raise ConfigError(sorted(set(self._problems), key=lambda p: (p.line, p.column, p.path, p.message)))
        if upgrade and migrated.since is not None:
            self._upgrade(migrated.raw, migrated.since)
        return result

    def _upgrade(self, raw: bytes, since: int) -> None:
        from sms_bridge.config import files

        try:
            files.replace(self._path, raw, keep=f"v{since}.bak")
        except ConfigError as error:  # it is read so each time
            log.warning("the configuration is of version %d and stays so: %s", since, error.problems[0].message)
        else:
            log.warning("%s was of version %d and is rewritten; the old one has .v%d.bak", self._path, since, since)

    def _raw(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                from sms_bridge.config.document import MAX_BYTES

                return file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            raise self._fatal("there is no such file", "check the path, or leave it out for the defaults") from None
        except IsADirectoryError:
            raise self._fatal("this is a folder", "name the file in it") from None
        except PermissionError:
            raise self._fatal("may not be read by this user", "check its owner and mode with ls -l") from None
        except OSError as error:
            raise self._fatal(f"cannot be read: {error.strerror}") from None

    def _fatal(self, message: str, hint: str = "") -> ConfigError:
        return ConfigError([Problem(self._file, 0, 0, "", message, hint)])

    def _build(self, data: dict[str, Any], document: Document) -> Settings:
        from sms_bridge.config.sections.commands import command_plans
        from sms_bridge.config.sections.guards import guard_settings
        from sms_bridge.config.sections.people import contact, group
        from sms_bridge.config.sections.routing import routing_settings
        from sms_bridge.config.sections.smpp import smpp_settings

        data_dir = self._data_dir
        if data_dir is None:
            data_dir = self._resolve(data["data_dir"]) if "data_dir" in data else default_data_dir(self._environ)
        return Settings(
            mqtt=self._mqtt(data.get("mqtt", {}), document),
            modems=tuple(self._modem(index, modem, data) for index, modem in enumerate(data.get("modems", []))),
            usb=UsbSettings(**data.get("usb", {})),
            virtual_modems=VirtualModemSettings(**data.get("virtual_modems", _virtual(data))),
            default_region=data.get("default_region"),
            data_dir=data_dir,
            inbound=InboundSettings(**data.get("inbound", {})),
            sending=_sending(data.get("sending", {})),
            quota=Limits(**data.get("quota", {})),
            limits=LimitSettings(**data.get("limits", {})),
            retention=RetentionSettings(**data.get("retention", {})),
            ussd=UssdSettings(tuple(data.get("ussd", {}).get("allow", ()))),
            at_console=AtConsoleSettings(**data.get("at_console", {})),
            calls=CallSettings(**data.get("calls", {})),
            balance=tuple(_balance(entry) for entry in data.get("balance", [])),
            logging=LoggingSettings(**data.get("logging", {})),
            recovery=_recovery(data.get("recovery", {})),
            self_test=SelfTestSettings(**data.get("self_test", {})),
            health=SilenceSettings(**data.get("health", {})),
            replies=ReplySettings(**data.get("replies", {})),
            home_assistant=HomeAssistantSettings(**data.get("home_assistant", {})),
            commands=command_plans(data.get("commands", {}), partial(self._totp, document)),
            contacts=MappingProxyType({name: contact(entry) for name, entry in data.get("contacts", {}).items()}),
            groups=MappingProxyType({name: group(entry) for name, entry in data.get("groups", {}).items()}),
            web=self._web(data["web"], document) if "web" in data else None,
            guards=guard_settings(data.get("guards", {})),
            smpp=smpp_settings(data.get("smpp", {}), self._environ, self._resolve, partial(self._problem, document)),
            routing=routing_settings(data.get("routing", {})),
            webhooks=tuple(
                webhook_settings(entry, index, self._secret(document))
                for index, entry in enumerate(data.get("webhooks", []))
            ),
            source=self._path,
        )

    def _modem(self, index: int, data: dict[str, Any], whole: dict[str, Any]) -> ModemSettings:
        given = {"name": f"modem-{index + 1}", **data}
        given["init_commands"] = tuple(given.get("init_commands", ()))
        given["recovery"] = _recovery(data["recovery"]) if "recovery" in data else None
        given["quota"] = Limits(**{**whole.get("quota", {}), **data.get("quota", {})})
        return ModemSettings(**given)

    def _mqtt(self, data: dict[str, Any], document: Document) -> MqttSettings:
        given = {key: value for key, value in data.items() if key not in ("password_file", "tls")}
        if "host" in given:
            given["host"] = given["host"].strip("[]")
            given["local"] = False
        else:
            given |= _broker_of(self._environ)
        if "password_file" in data:
            given["password"] = self._password(data["password_file"], document)
        elif "password" not in given:
            given["password"] = self._environ.get(ENV_PASSWORD)
        if "tls" in data:
            given["tls"] = self._tls(data["tls"], document)
        return MqttSettings(**given)

    def _tls(self, data: dict[str, Any], document: Document) -> TlsSettings:
        paths: dict[str, Any] = {key: self._resolve(value) for key, value in data.items() if key != "insecure"}
        for key, path in paths.items():
            if not path.is_file():
                self._problem(document, ("mqtt", "tls", key), f"there is no file {path}", "check the path")
        return dataclasses.replace(TlsSettings(insecure=data.get("insecure", False)), **paths)

    def _web(self, data: dict[str, Any], document: Document) -> WebSettings:
        def existing(key: str, name: str) -> Path:
            path = self._resolve(name)
            if not path.is_file():
                self._problem(document, ("web", "tls", key), f"there is no file {path}", "check the path")
            return path

        return web_settings(data, existing, self._secret(document, "web"))

    def _secret(self, document: Document, *above: str) -> Secret:
        """Reads the secret of an entry of a list that stands below `above`."""

        def secret(entry: Mapping[str, Any], listed: str, index: int) -> str | None:
            word = "token" if listed == "tokens" else "secret"
            if f"{word}_file" in entry:
                return self._password(entry[f"{word}_file"], document, (*above, listed, index, f"{word}_file"), word)
            if "env" not in entry:
                return entry.get(word)
            value = self._environ.get(entry["env"], "")
            if len(value) < MIN_SECRET:
                message = f"the environment variable {entry['env']} holds no {word} of {MIN_SECRET} characters"
                self._problem(document, (*above, listed, index, "env"), message, "set it where the bridge is started")
            return value

        return secret

    def _totp(self, document: Document, entry: Mapping[str, Any], command: str) -> str | None:
        """The secret of a command's codes, from where its entry says."""
        from sms_bridge.config.sections.commands import totp_secret

        key = next((key for key in ("totp", "totp_file", "totp_env") if key in entry), None)
        if key is None:
            return None
        where = ("commands", command, key)
        if key == "totp_file":
            text = self._password(entry[key], document, where, "secret")
        else:
            text = entry[key] if key == "totp" else self._environ.get(entry[key], "")
        if text is not None and totp_secret(text) is None:
            message = "there is no secret of at least 26 characters of base32"
            self._problem(document, where, message, "`openssl rand 20 | base32` makes one")
        return text

    def _password(
        self,
        name: str,
        document: Document,
        where: KeyPath = ("mqtt", "password_file"),
        word: str = "password",
    ) -> str | None:
        path = self._resolve(name)
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_PASSWORD_FILE)
            text = raw.decode("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            hint = f"the file holds the {word} alone, and this user may read it"
            self._problem(document, where, f"cannot read {path}: {why}", hint)
            return None
        if not text or "\n" in text or "\x00" in text:
            self._problem(document, where, f"{path} must hold one line, the {word}")
        elif word != "password" and len(text) < MIN_SECRET:
            message = f"{path} holds a {word} of {len(text)} characters, and {MIN_SECRET} are the fewest"
            self._problem(document, where, message, "`openssl rand -hex 24` makes one")
        return text

    def _resolve(self, name: str) -> Path:
        """Relative to the folder of the configuration, so that it means the same from everywhere."""
        path = Path(name)
        if name.startswith("~"):
            try:
                path = path.expanduser()
            except RuntimeError:
                return path
        return path if path.is_absolute() else (self._path.parent / path).absolute()

    def _problem(self, document: Document, path: KeyPath, message: str, hint: str = "") -> None:
        from sms_bridge.config.report import problem_at

        self._problems.append(problem_at(document, self._file, path, message, hint))


def _virtual(data: dict[str, Any]) -> dict[str, Any]:
    """What is not said of virtual modems: they must not be sent through where there is a message centre."""
    return {"count": 0} if any(account.get("enabled", True) for account in data.get("smpp", {}).values()) else {}


def _recovery(data: dict[str, Any]) -> RecoverySettings:
    switch = data.get("power_switch")
    return RecoverySettings(PowerSwitchSettings(**switch) if switch is not None else None)


def _balance(data: dict[str, Any]) -> BalanceSettings:
    given = {**data, "replies": tuple(data.get("replies", ()))}
    if "sms" in data:
        sms = dict(data["sms"])
        senders = sms.pop("from", ())
        given["sms"] = BalanceSmsSettings(**sms, senders=tuple(senders))
    return BalanceSettings(**given)


def _sending(data: dict[str, Any]) -> SendingSettings:
    given = dict(data)
    if "sticky" in given:
        given["sticky"] = Sticky(given["sticky"])
    return SendingSettings(**given)
