"""What differs between families of modems, as data: one JSON file each in `profiles/` (docs/supported-modems.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

from hardware.at import commands
from hardware.at.channel import AtChannel
from hardware.at.types import Command, WritePacing
from hardware.errors import AtArgumentError
from hardware.modem.profile_file import Fields, ProfileError, read

__all__ = [
    "GENERIC",
    "Kind",
    "Model",
    "Profile",
    "ProfileError",
    "Radio",
    "Role",
    "by_usb",
    "find",
    "guess",
    "load",
    "shipped",
]


class Kind(StrEnum):
    """What stands in a plug, as far as this bridge is concerned."""

    MODEM = "modem"
    ADAPTER = "adapter"  # a serial adapter: a modem may be behind it
    HILINK = "hilink"  # a network card with a web page
    CDROM = "cdrom"  # a stick that waits to be switched
    RECOVERY = "recovery"  # Qualcomm's EDL: never opened
    NO_AT = "no_at"  # MBIM or QMI only
    UNKNOWN = "unknown"  # serial ports of an unknown make
    OTHER = "other"  # not a modem, nobody's business


class Role(StrEnum):
    """What a port is for. `AT`, `AT2` and `PPP` understand commands, nothing else is ever opened (domain A1.1)."""

    AT = "at"
    AT2 = "at2"  # a second AT port: URCs may not come to it (domain A1.4)
    PPP = "ppp"  # the data port, which answers AT as well
    DIAG = "diag"
    NMEA = "nmea"
    AUDIO = "audio"
    LOG = "log"
    SAP = "sap"
    NET = "net"
    ADB = "adb"
    FIREHOSE = "firehose"
    RESERVED = "reserved"
    UNKNOWN = "unknown"


class Radio(StrEnum):
    """What a model can register with; decides whether it has a future (domain A12)."""

    GSM = "gsm"
    UMTS = "umts"
    CDMA = "cdma"
    LTE = "lte"
    LTE_M = "lte-m"
    NB_IOT = "nb-iot"
    NR = "nr"


class Storage(StrEnum):
    """Memories that messages are received in (TS 27.005 2.2)."""

    SM = "SM"
    ME = "ME"


class Ussd(StrEnum):
    """How the text of `+CUSD` is written (domain A11)."""

    TEXT = "text"
    PACKED = "packed"  # GSM 7-bit septets as hex, whatever +CSCS says


@dataclass(frozen=True, slots=True)
class Model:
    """One row of the table: models that show themselves alike on USB, or on none."""

    name: str  # "EC25, EG25-G"
    ids: tuple[tuple[int, int | None], ...] = ()  # VID and PID; PID None: those of the vendor that no file names
    kind: Kind = Kind.MODEM
    ports: Mapping[int, Role] = field(default_factory=dict)  # by interface number
    probe_others: bool = False  # ports that `ports` does not name may be asked, after those it does
    radio: tuple[Radio, ...] = ()
    delay: float = 0.0  # seconds after enumeration before it may be spoken to (domain A1.5)
    configuration: int | None = None  # of USB, the one that has the serial ports
    variant: str = ""
    may_be_web: bool = False  # with a network interface and no port it is a stick with a web page (HiLink)
    hint: str = ""  # what helps when there is no AT port, besides the general advice
    remark: str = ""

    @property
    def is_rest(self) -> bool:
        """It stands for models of a vendor that nobody has listed."""
        return any(pid is None for _, pid in self.ids)


@dataclass(frozen=True, slots=True)
class Profile:
    """One family, or a variant within it; fields are named as in the files."""

    name: str
    title: str = ""
    variant: str = ""
    manufacturer: tuple[str, ...] = ()  # lower-case words in the answer to +CGMI
    model: tuple[str, ...] = ()  # lower-case words in the answer to +CGMM
    init: tuple[str, ...] = ()  # lines written after the identity is known; refusals are tolerated
    skip: tuple[str, ...] = ()  # beginnings of commands that are never written: they crash it
    boot_urcs: tuple[str, ...] = ()  # besides those that every modem may say
    ready_urcs: tuple[str, ...] = ()  # messages can be handled from here on
    sim_urcs: tuple[str, ...] = ()  # the SIM came or went
    full_urcs: tuple[str, ...] = ()  # a storage is full, besides ^SMMEMFULL and +QIND
    attempts: str = ""  # prefix of the vendor's PIN counter
    iccid: str = ""  # prefix of the vendor's ICCID answer
    storages: tuple[Storage, ...] = ()  # to receive in, when the modem does not say where it does now
    cpms_arguments: tuple[int, ...] = (3, 2, 1)  # how many +CPMS takes, in the order of trying
    cmgl: bool = True  # +CMGL=4 lists in PDU mode; else each slot is asked
    cnmi: tuple[tuple[int, ...], ...] = ()  # settings to try before the general ladder
    ussd: Ussd = Ussd.TEXT
    ussd_alone: bool = False  # loses messages while a USSD dialogue is under way
    result_codes: Mapping[str, str] = field(default_factory=dict)  # "cms_512": what this maker means by it
    prompt_timeout: float = 0.0  # seconds at least
    result_timeout: float = 0.0  # seconds at least, for a network that is slow by nature
    command_gap: float = 0.0  # seconds of rest between an answer and the next command
    pdu_delay: float = 0.0  # seconds between the prompt and the PDU (domain A3.4)
    pdu_chunk: int = 0  # octets of the PDU at once; 0: all
    pdu_chunk_delay: float = 0.0  # seconds between two of these
    baudrates: tuple[int, ...] = ()  # on a serial line, in the order of trying
    triplets: Mapping[tuple[int | None, int | None, int | None], Role] = field(default_factory=dict)  # None: any
    alike: Mapping[str, Role] = field(default_factory=dict)  # "first", "last" of ports without a difference
    no_at_hint: str = ""  # what brings back the serial ports of one that has none; PLUG stands for its place
    remarks: tuple[str, ...] = ()  # for the page
    models: tuple[Model, ...] = ()
    variants: tuple[Profile, ...] = ()

    def fit(self, manufacturer: str, model: str) -> tuple[bool, int]:
        """How well it fits what the modem says of itself: the maker's word, then letters of the model's longest."""
        maker = any(word in manufacturer.lower() for word in self.manufacturer)
        return maker, max((len(word) for word in self.model if word in model.lower()), default=0)

    @property
    def label(self) -> str:
        """`quectel`, `quectel/ep06`."""
        return f"{self.name}/{self.variant}" if self.variant else self.name

    @property
    def init_commands(self) -> list[Command]:
        return [commands.raw(line) for line in self.init]

    @property
    def iccid_commands(self) -> list[Command]:
        """All ways to ask, this family's own first."""
        return sorted(commands.ICCID_COMMANDS, key=lambda command: command.prefix != self.iccid)

    @property
    def attempts_commands(self) -> list[Command]:
        """All ways to ask, this family's own first."""
        return sorted(commands.ATTEMPTS_LEFT, key=lambda command: command.prefix != self.attempts)

    @property
    def cnmi_ladder(self) -> tuple[tuple[int, ...], ...]:
        """Settings to try in turn, this family's own first (domain A4.1)."""
        return tuple(dict.fromkeys((*self.cnmi, *commands.CNMI_LADDER)))

    def guide(self, channel: AtChannel) -> None:
        """Have `channel` write as this family can take it, and no faster than it has learnt to."""
        gap = max(self.command_gap, channel.pacing.gap)
        channel.pacing = WritePacing(self.pdu_delay, self.pdu_chunk, self.pdu_chunk_delay, gap)
        channel.skip = self.skip


GENERIC = Profile("generic")


def find(manufacturer: str | None, model: str | None) -> Profile:
    """The family or variant that fits best, else the generic one."""
    words = manufacturer or "", model or ""
    best, best_fit = GENERIC, (False, 0)
    for family in shipped():
        for candidate in (family, *family.variants):
            fit = candidate.fit(*words)
            if fit > best_fit and (fit[1] or not candidate.variant):
                best, best_fit = candidate, fit
    return best


def by_usb(vid: int, pid: int) -> tuple[Profile, Model] | None:
    """The family or variant, and the row, of a USB id: its own, or that of the rest of its vendor."""
    return _usb_table().get((vid, pid)) or _usb_table().get((vid, None))


def guess(vid_pid: str | None) -> Profile:
    """The profile to begin with, before the modem has said who it is: by its `vvvv:pppp`, else the generic one."""
    vid, _, pid = (vid_pid or "").partition(":")
    found = by_usb(int(vid, 16), int(pid, 16)) if vid and pid else None
    return found[0] if found is not None and found[1].kind is Kind.MODEM else GENERIC


@cache
def shipped() -> tuple[Profile, ...]:
    """All families, in the order of their file names. Raises ProfileError."""
    folder = resources.files("hardware.modem") / "profiles"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return tuple(load(file) for file in files)


def load(file: Traversable) -> Profile:
    """One family's file; raises ProfileError, whose text says where and what is expected."""
    fields = read(file)
    family = replace(
        _settings(fields, Profile(file.name.removesuffix(".json"))),
        title=fields.text("title"),
        triplets=fields.table("triplets", _triplet, 'three octets such as "ff/01/02", * for any', Role),
        alike=fields.table("alike", _position, '"first" or "last"', Role),
        no_at_hint=fields.text("no_at_hint", ""),
        remarks=fields.texts("remarks"),
    )
    variants = tuple(_variant(part, family) for part in fields.objects("variants"))
    names = [variant.variant for variant in variants]
    models = tuple(_model(part, names) for part in fields.objects("models"))
    fields.end()
    return replace(family, variants=variants, models=models)


_WORD = r"[^A-Z]+"
_COMMAND = r"AT[+^#!$%*&A-Z][\x20-\x60\x7b-\x7e]*"
_URC = r"(?!OK\b|ERROR\b)[\x21-\x3d\x3f-\x7e][\x20-\x7e]*"


def _settings(fields: Fields, base: Profile) -> Profile:
    """`base` with what the file says; a family and its variants have these fields alike."""

    def words(key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        return fields.texts(key, default, pattern=_WORD, form="a word in lower case")

    def urcs(key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        return fields.texts(key, default, pattern=_URC, form='how an unsolicited line begins, such as "^SIMST:"')

    return replace(
        base,
        manufacturer=words("manufacturer", base.manufacturer),
        model=words("model", base.model),
        init=_init(fields, base.init),
        skip=fields.texts("skip", base.skip, pattern=_COMMAND, form='how a command begins: "AT^GETPORTMODE"'),
        boot_urcs=urcs("boot_urcs", base.boot_urcs),
        ready_urcs=urcs("ready_urcs", base.ready_urcs),
        sim_urcs=urcs("sim_urcs", base.sim_urcs),
        full_urcs=urcs("full_urcs", base.full_urcs),
        attempts=_prefix(fields, "attempts", base.attempts, commands.ATTEMPTS_LEFT),
        iccid=_prefix(fields, "iccid", base.iccid, commands.ICCID_COMMANDS),
        storages=fields.choices("storages", Storage, base.storages),
        cpms_arguments=fields.counts("cpms_arguments", 1, 3, base.cpms_arguments),
        cmgl=fields.flag("cmgl", base.cmgl),
        cnmi=_cnmi(fields, base.cnmi),
        ussd=fields.choice("ussd", Ussd, base.ussd),
        ussd_alone=fields.flag("ussd_alone", base.ussd_alone),
        result_codes=fields.texts_by_name(
            "result_codes", r"cm[es]_[0-9]{1,5}", '"cms_512" or "cme_100"', base.result_codes
        ),
        prompt_timeout=fields.seconds("prompt_timeout", 60, base.prompt_timeout),
        result_timeout=fields.seconds("result_timeout", 600, base.result_timeout),
        command_gap=fields.seconds("command_gap", 1, base.command_gap),
        pdu_delay=fields.seconds("pdu_delay", 5, base.pdu_delay),
        pdu_chunk=fields.count("pdu_chunk", 1, 512, base.pdu_chunk),
        pdu_chunk_delay=fields.seconds("pdu_chunk_delay", 1, base.pdu_chunk_delay),
        baudrates=fields.counts("baudrates", 300, 4_000_000, base.baudrates),
    )


def _variant(fields: Fields, family: Profile) -> Profile:
    name = fields.text("name", pattern=r"[a-z0-9-]+", form="a name of small letters, digits and -")
    variant = _settings(fields, replace(family, variant=name, model=(), remarks=()))
    if not variant.model:
        fields.refuse("model", "a variant needs words of +CGMM that tell it from the rest of the family")
    variant = replace(variant, remarks=fields.texts("remarks"))
    fields.end()
    return variant


def _model(fields: Fields, variants: list[str]) -> Model:
    model = Model(
        fields.text("name"),
        ids=fields.usb_ids("usb"),
        kind=fields.choice("kind", Kind, Kind.MODEM),
        ports=fields.table("ports", _interface, 'an interface of two hexadecimal digits such as "02"', Role),
        probe_others=fields.flag("probe_others", False),
        radio=fields.choices("radio", Radio),
        delay=fields.seconds("delay", 60),
        configuration=fields.count("configuration", 1, 9, 0) or None,
        variant=fields.text("variant", ""),
        may_be_web=fields.flag("may_be_web", False),
        hint=fields.text("hint", ""),
        remark=fields.text("remark", ""),
    )
    if model.variant and model.variant not in variants:
        fields.refuse("variant", f'there is no variant "{model.variant}" in this file')
    if model.kind is Kind.MODEM and not model.radio:
        fields.refuse("radio", f"expected at least one of {', '.join(Radio)}")
    fields.end()
    return model


def _init(fields: Fields, default: tuple[str, ...]) -> tuple[str, ...]:
    lines = fields.texts("init", default)
    for index, line in enumerate(lines):
        try:
            commands.raw(line)
        except AtArgumentError as error:
            fields.refuse(f"init[{index}]", f"{error}; {error.hint}")
    return lines


def _cnmi(fields: Fields, default: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    settings = fields.rows("cnmi", 5, 0, 3, default)
    for index, setting in enumerate(settings):
        try:
            commands.new_messages(*setting)
        except AtArgumentError as error:
            fields.refuse(f"cnmi[{index}]", str(error))
        if setting[1] != 1:
            fields.refuse(f"cnmi[{index}]", "the second number is 1: stored, then announced")
    return settings


def _prefix(fields: Fields, key: str, default: str, known: tuple[Command, ...]) -> str:
    prefixes = [str(command.prefix) for command in known]
    prefix = fields.text(key, default)
    if prefix and prefix not in prefixes:
        fields.refuse(key, f"expected what an answer begins with, one of {', '.join(dict.fromkeys(prefixes))}")
    return prefix


def _triplet(text: str) -> tuple[int | None, int | None, int | None] | None:
    parts = re.fullmatch(r"([0-9a-f]{2}|\*)/([0-9a-f]{2}|\*)/([0-9a-f]{2}|\*)", text)
    if parts is None:
        return None
    first, second, third = (None if part == "*" else int(part, 16) for part in parts.groups())
    return first, second, third


def _position(text: str) -> str | None:
    return text if text in ("first", "last") else None


def _interface(text: str) -> int | None:
    return int(text, 16) if re.fullmatch(r"[0-9a-f]{2}", text) else None


@cache
def _usb_table() -> dict[tuple[int, int | None], tuple[Profile, Model]]:
    table: dict[tuple[int, int | None], tuple[Profile, Model]] = {}
    for family in shipped():
        for model in family.models:
            profile = next((v for v in family.variants if model.variant and v.variant == model.variant), family)
            for number in model.ids:
                if number in table:
                    vid, pid = number
                    other = table[number][0].name
                    shown = f"{vid:04x}:{'*' if pid is None else f'{pid:04x}'}"
                    raise ProfileError(f"{family.name}.json: {shown} stands in {other}.json too")
                table[number] = profile, model
    return table
