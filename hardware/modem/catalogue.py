"""The tables of docs/supported-modems.md, made from the profiles: `python -m hardware.modem.catalogue` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from hardware.modem.profile import Kind, Model, Profile, Radio, Role, shipped

__all__ = ["PAGE", "renewed", "tables"]

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "supported-modems.md"
BEGIN: Final = "<!-- made from hardware/modem/profiles; change those, then: python -m hardware.modem.catalogue -->"
END: Final = "<!-- end of what is made -->"

_NETWORKS: Final = {
    Radio.GSM: "2G",
    Radio.UMTS: "3G",
    Radio.CDMA: "CDMA",
    Radio.LTE: "LTE",
    Radio.LTE_M: "LTE-M",
    Radio.NB_IOT: "NB-IoT",
    Radio.NR: "5G",
}
_AHEAD: Final = {Radio.LTE, Radio.LTE_M, Radio.NB_IOT, Radio.NR}
_NARROW: Final = {Radio.LTE_M, Radio.NB_IOT}
_SUNSET: Final = "⚠"
_ASK: Final = "?"
_WHAT: Final = {
    Kind.HILINK: "a network card with a web page: no SMS through it",
    Kind.CDROM: "a CD-ROM until usb-modeswitch has switched it",
    Kind.RECOVERY: "recovery mode: never opened",
}


def renewed(page: str) -> str:
    """`page` with its tables as the profiles have them now. Raises ValueError when the marks are not there."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name}: the lines {BEGIN!r} and {END!r} are where the tables belong")
    return f"{head}{BEGIN}\n\n{tables()}\n{END}{tail}"


def tables() -> str:
    """All families with their models, then what is seen and cannot be used, then adapters. Markdown."""
    families = sorted(shipped(), key=lambda family: family.title.lower())
    parts = [_family(family) for family in families if any(model.kind is Kind.MODEM for model in family.models)]
    parts.append(_unusable(families))
    parts.append(_adapters(families))
    return "\n".join(parts)


def _family(family: Profile) -> str:
    lines = [f"### {family.title}", "", "| models | USB | AT interface | networks | remarks |", "|---|---|---|---|---|"]
    for model in family.models:
        if model.kind is Kind.MODEM:
            cells = (model.name, _ids(model), _at(family, model), _networks(model), _remarks(model))
            lines.append("| " + " | ".join(cells) + " |")
    remarks = [
        *family.remarks,
        *(f"{_few(variant.model)}: {_low(r)}" for variant in family.variants for r in variant.remarks),
    ]
    lines += ["", *(f"* {remark}" for remark in remarks), ""] if remarks else [""]
    return "\n".join(lines)


def _unusable(families: list[Profile]) -> str:
    lines = ["### Seen, explained, not used", "", "| what | USB | why |", "|---|---|---|"]
    for family in families:
        for model in family.models:
            if model.kind in _WHAT:
                why = "; ".join(text for text in (_WHAT[model.kind], model.hint) if text)
                lines.append(f"| {family.title}: {model.name} | {_ids(model)} | {why} |")
    return "\n".join([*lines, ""])


def _adapters(families: list[Profile]) -> str:
    lines = ["### Serial adapters", "", "| chip | USB |", "|---|---|"]
    remarks: list[str] = []
    for family in families:
        rows = [model for model in family.models if model.kind is Kind.ADAPTER]
        lines += [f"| {model.name} | {_ids(model)} |" for model in rows]
        remarks += family.remarks if rows else ()
    return "\n".join([*lines, "", *(f"* {remark}" for remark in remarks), ""])


def _ids(model: Model) -> str:
    shown = (f"`{vid:04x}:{'*' if pid is None else f'{pid:04x}'}`" for vid, pid in model.ids)
    return " ".join(shown) or ("not known" if model.probe_others else "none of its own")


def _at(family: Profile, model: Model) -> str:
    """The interfaces in the order of asking, or the rule that finds them."""
    rank = {Role.AT: 0, Role.AT2: 1, Role.PPP: 2}
    ports = sorted((rank[role], number) for number, role in model.ports.items() if role in rank)
    found = ", ".join(f"{number:02x}" for _, number in ports)
    if found and model.probe_others:
        return f"{found}, then others"
    if found:
        return found
    if not model.ids and not model.probe_others:
        return "the only port"
    return "by its class" if family.triplets else "found by asking"


def _networks(model: Model) -> str:
    names = ", ".join(_NETWORKS[radio] for radio in model.radio)
    if not set(model.radio) & _AHEAD:
        return f"{names} {_SUNSET}"
    return f"{names} {_ASK}" if set(model.radio) & _NARROW else names


def _remarks(model: Model) -> str:
    slow = [f"may need {model.delay:g} s after it was plugged in, and gets them"] if model.delay else []
    return "; ".join(text for text in (model.remark, *slow) if text)


def _few(words: tuple[str, ...]) -> str:
    return ", ".join(word.upper() for word in words)


def _low(sentence: str) -> str:
    """The beginning in lower case, unless it is a name or a command."""
    return sentence if sentence[1:2].isupper() or not sentence[0].isalpha() else sentence[0].lower() + sentence[1:]


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
