"""One real device as data: a TOML file in `personalities/`, checked when it is read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "personalities"
DEFAULT = "sim800l"


class PersonalityError(ValueError):
    """A personality that does not exist, or whose file is wrong."""


@dataclass(frozen=True, slots=True)
class BootStep:
    """`after` seconds from power-up; `event`: `sim` is readable or `network` is found; `urc`: what is said."""

    after: float
    urc: str = ""
    event: str = ""


@dataclass(frozen=True, slots=True)
class Chatter:
    """A URC that is repeated every `every` seconds until the command `silence` was seen."""

    every: float
    urc: str
    silence: str = ""


@dataclass(frozen=True, slots=True)
class Personality:
    """What tells one family from another; fields are named as in the files."""

    name: str
    title: str
    tac: str
    answers: dict[str, tuple[str, ...]]
    accepts: tuple[str, ...] = ()
    uppercase_only: bool = False
    unknown_answer: str = "ERROR"
    echo: bool = True
    cmee: int = 0
    esc_answer: str = "OK"
    prompt: str = "\r\n> "
    command_delay: float = 0.0
    min_gap: float = 0.0  # seconds: a command that comes sooner after an answer is lost
    without_ok: tuple[str, ...] = ()  # questions that are answered without the final OK
    prompt_delay: float = 0.0
    delays: dict[str, float] = field(default_factory=dict)
    charsets: tuple[str, ...] = ("GSM", "IRA", "UCS2")
    charset: str = "IRA"
    storages: dict[str, int] = field(default_factory=lambda: {"SM": 20})
    storage: str = "SM"
    first_index: int = 1
    cpms_arguments: tuple[int, ...] = (1, 2, 3)
    cmti_storage: str = ""
    cmgl: bool = True
    empty_slot: str = "321"
    count_lag: float = 0.0  # seconds after +CMTI during which a storage counts no messages
    cnmi: tuple[tuple[int, ...], ...] = ((0, 1, 2), (0, 1, 2, 3), (0, 2), (0, 1, 2), (0, 1))
    cnmi_refused_ds: tuple[int, ...] = ()
    cnmi_power_up: tuple[int, ...] = (0, 0, 0, 0, 0)
    unrouted_reports: str = "store"
    full_urc: str = ""
    full_urc_setting: str = ""
    mms_push_extra: str = ""
    registration: tuple[str, ...] = ("+CREG", "+CGREG")
    act: int = 0
    iccid: dict[str, str] = field(default_factory=dict)
    pin_counter: dict[str, str] = field(default_factory=dict)
    ussd: str = "text"
    ring: str = "RING"
    missed_call: str = ""
    boot: tuple[BootStep, ...] = ()
    chatter: tuple[Chatter, ...] = ()


def names() -> list[str]:
    """The personalities that are shipped."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Personality:
    """A shipped personality by name, or a file of one's own by path; raises `PersonalityError`."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except FileNotFoundError:
        raise PersonalityError(f"no personality {name!r}; there are: {', '.join(names())}") from None
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PersonalityError(f"{path}: {error}") from None
    try:
        return _build(path.stem, data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PersonalityError(f"{path}: {error}") from None


def _build(name: str, data: dict[str, Any]) -> Personality:
    known = {f.name for f in fields(Personality)} - {"name"}
    if unknown := data.keys() - known:
        raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    values["answers"] = {command: tuple(lines) for command, lines in data["answers"].items()}
    values["boot"] = tuple(BootStep(**step) for step in data.get("boot", ()))
    values["chatter"] = tuple(Chatter(**item) for item in data.get("chatter", ()))
    if "cnmi" in values:
        values["cnmi"] = tuple(tuple(column) for column in values["cnmi"])
    result = Personality(name=name, **values)
    _check(result)
    return result


def _check(it: Personality) -> None:
    if len(it.tac) != 8 or not it.tac.isdigit():
        raise ValueError("tac: eight digits")
    if it.storage not in it.storages:
        raise ValueError(f"storage: {it.storage} is not among the storages")
    if len(it.cnmi) != 5 or len(it.cnmi_power_up) != 5:
        raise ValueError("cnmi: five columns")
    if it.unrouted_reports not in ("store", "drop"):
        raise ValueError("unrouted_reports: store or drop")
    if it.cmti_storage and it.cmti_storage not in it.storages:
        raise ValueError(f"cmti_storage: {it.cmti_storage} is not among the storages")
    for key in ("+CGMI", "+CGMM", "+CGMR", "+CGSN", "I"):
        if key not in it.answers:
            raise ValueError(f"answers: {key} is missing")
