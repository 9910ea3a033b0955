"""`python -m tests.kernel [pytest's options]`: boot the lab, run its tests in there, end as they did."""

from __future__ import annotations

import asyncio
import compileall
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.kernel.image import ImageError, initramfs
from tests.kernel.machine import Machine, MachineError

ROOT = Path(__file__).parents[2]
KERNEL = ROOT / ".lab" / "kernel"
LAST = ROOT / ".lab" / "last"
DEADLINE = 570.0  # seconds for everything; the lab is to stay below ten minutes
SHOWN = 60  # lines of the kernel's log that are shown when something failed


def main() -> int:
    began = time.monotonic()
    vmlinuz = next(KERNEL.glob("boot/vmlinuz-*"), None)
    busybox = next(KERNEL.glob("**/bin/busybox"), None)
    if vmlinuz is None or busybox is None or shutil.which("qemu-system-x86_64") is None:
        return _refused("the lab is not set up here: make test-kernel, or scripts/bootstrap.sh kernel")
    # The guest could compile, but takes seconds for it, each time anew.
    for package in ("hardware", "sms_bridge", "tests"):
        compileall.compile_dir(ROOT / package, quiet=2)
    with tempfile.TemporaryDirectory(prefix="lab-") as name:
        folder = Path(name)
        try:
            initramfs(KERNEL, busybox, folder / "initramfs", ROOT)
            code = asyncio.run(_run(Machine(vmlinuz, folder / "initramfs", folder, _show)))
        except (ImageError, MachineError) as error:
            code = _refused(str(error))
        except TimeoutError:
            code = _refused(f"not done within {DEADLINE:.0f} s")
        except KeyboardInterrupt:
            code = 130
        log = folder / "console.log"
        if log.exists():
            LAST.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, LAST / "console.log")
            if code not in (0, 5, 130):
                lines = log.read_text(errors="replace").splitlines()[-SHOWN:]
                print("\n--- the kernel's last words, whole in .lab/last/console.log", *lines, sep="\n")
    print(f"kernel lab: {time.monotonic() - began:.0f} s, boot and all")
    return code


async def _run(machine: Machine) -> int:
    async with asyncio.timeout(DEADLINE):
        return await machine.run(sys.argv[1:])


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _refused(words: str) -> int:
    print(f"kernel lab: {words}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
