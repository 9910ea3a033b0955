"""The initramfs of the lab: busybox, kernel modules, the guest's first program, and a copy of all Python files.

The guest has the host's disk too, but there each look at a file costs milliseconds, and Python looks at thousands.
"""

from __future__ import annotations

import lzma
import os
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

MODULES = (
    *("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"),  # the host's disk and its lines
    *("xhci_pci", "usbserial", "ftdi_sio", "option", "qcserial", "sierra", "cp210x", "ch341", "cdc_acm"),
    *("dummy_hcd", "libcomposite", "usb_f_acm", "usb_f_serial", "usb_f_fs", "usb_f_mass_storage", "usb_f_ecm"),
)
PARAMETERS = {"dummy_hcd": "num=8 is_super_speed=0"}
"""Eight sockets of one port each, high speed as the sticks of the field."""

PROJECT = ("hardware", "sms_bridge", "tests")
UNUSED = {
    *(
        "site-packages",
        "dist-packages",
        "test",
        "idlelib",
        "tkinter",
        "turtledemo",
        "lib2to3",
        "ensurepip",
        "pydoc_data",
    ),
    *("pip", "setuptools", "mypy", "mypyc", "ast_serialize", "grimp", "importlinter", "rich", "transcripts"),
}
"""Folders of Python's library and of the virtual environment that the guest does without."""

INIT = Path(__file__).with_name("init.sh")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


class ImageError(RuntimeError):
    """The kernel package lacks something; says what."""


def initramfs(kernel: Path, busybox: Path, target: Path, project: Path) -> None:
    """Write the archive for the unpacked kernel package in `kernel`; ImageError when a module is missing."""
    archive = _Archive()
    for folder in ("bin", "dev", "proc", "sys", "disk", "guest", "modules", "copies"):
        archive.folder(folder)
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    archive.file("init", INIT.read_bytes(), 0o755)
    archive.file("project", f"{project}\n".encode(), 0o644)
    copies = _python_folders() | {project / name for name in PROJECT}
    for number, folder in enumerate(sorted(copies)):
        _copy(archive, folder, f"copies/{number}")
    archive.file("copies/list", "".join(f"{folder}\n" for folder in sorted(copies)).encode(), 0o644)
    order = []
    for name, content in _closure(kernel):
        archive.file(f"modules/{name}.ko", content, 0o644)
        order.append(f"{name} {PARAMETERS.get(name, '')}".strip())
    archive.file("modules/order", "\n".join([*order, ""]).encode(), 0o644)
    target.write_bytes(archive.closed())


def _python_folders() -> set[Path]:
    library = Path(os.__file__).parent
    return {library.resolve(), *(Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib"))}


def _copy(archive: _Archive, source: Path, target: str) -> None:
    for top, folders, files in os.walk(source):
        folders[:] = [name for name in folders if name not in UNUSED and not name.startswith("config-")]
        place = os.path.join(target, os.path.relpath(top, source)) if top != str(source) else target
        archive.folder(place)
        for name in files:
            file = Path(top, name)
            if not name.endswith((".pyi", ".a")) and "__mypyc" not in name and file.is_file():
                archive.file(f"{place}/{name}", file.read_bytes(), 0o755, int(file.stat().st_mtime))


def _closure(kernel: Path) -> Iterator[tuple[str, bytes]]:
    """The modules and what they need, each after what it needs. Built-in ones have no file and need none."""
    files = {_plain(file.name): file for file in kernel.rglob("*.ko*")}
    builtin = {_plain(Path(line).name) for file in kernel.rglob("modules.builtin") for line in file.read_text().split()}
    done: set[str] = set()

    def load(name: str) -> Iterator[tuple[str, bytes]]:
        if name in done or name in builtin:
            return
        done.add(name)
        if name not in files:
            raise ImageError(f"the kernel package has no module {name}")
        content = files[name].read_bytes()
        if files[name].suffix == ".xz":
            content = lzma.decompress(content)
        found = _DEPENDS.search(content)
        for needed in found[1].decode().split(",") if found and found[1] else ():
            yield from load(_plain(needed))
        yield name, content

    for name in MODULES:
        yield from load(name)


def _plain(name: str) -> str:
    return name.partition(".ko")[0].replace("-", "_")


class _Archive:
    """A cpio archive in the kernel's format (Documentation/driver-api/early-userspace/buffer-format)."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._count = 0

    def folder(self, name: str) -> None:
        self._add(name, 0o040755, b"")

    def file(self, name: str, content: bytes, mode: int, changed: int = 0) -> None:
        self._add(name, 0o100000 | mode, content, changed)

    def closed(self) -> bytes:
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self._parts)

    def _add(self, name: str, mode: int, content: bytes, changed: int = 0) -> None:
        self._count += 1
        path = name.encode() + b"\0"
        #         inode        mode  uid gid links time size    dev and rdev    length of name  checksum
        fields = (self._count, mode, 0, 0, 1, changed, len(content), 0, 0, 0, 0, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._parts += [_padded(head + path), _padded(content)]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
