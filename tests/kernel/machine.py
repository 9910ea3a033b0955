"""The virtual machine of the lab: QEMU without KVM, the host's disk read-only in it, serial adapters on its USB."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hardware.emulator.serial import die_with_parent

MEMORY = 1024  # MiB; the guest writes to memory only
ADAPTERS = 2
SOCKETS = 6  # of the xHCI controller
HUB = 6  # the socket with a hub of eight in it: `6.3` is one of its sockets
QMP_DEADLINE = 10.0  # seconds for QEMU to answer
ASK_LIMIT = 1 << 20  # octets of a request of the guest
OUTPUT_DEADLINE = 5.0  # seconds for the guest's last words, which come on another line than its exit code
END_OF_OUTPUT = b"\x04"

Answer = dict[str, Any]


class MachineError(RuntimeError):
    """QEMU does not do what it should; says what it said."""


def command(kernel: Path, initramfs: Path, folder: Path) -> list[str]:
    """QEMU's command line; its sockets and the kernel's log go to `folder`.

    TCG even where there is KVM: the same everywhere, and nested KVM hangs on some machines.
    """
    arguments = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]
    arguments += ["-machine", "q35,hpet=off", "-accel", "tcg,thread=multi"]
    arguments += ["-cpu", "qemu64", "-smp", "1", "-m", str(MEMORY)]
    arguments += ["-kernel", str(kernel), "-initrd", str(initramfs), "-append", "console=ttyS0 loglevel=4 panic=-1"]
    arguments += ["-serial", f"file:{folder}/console.log", "-qmp", f"unix:{folder}/qmp,server=on,wait=off"]
    arguments += ["-fsdev", "local,id=disk,path=/,security_model=none,readonly=on,multidevs=remap"]
    arguments += ["-device", "virtio-9p-pci,fsdev=disk,mount_tag=disk"]
    arguments += ["-device", f"qemu-xhci,id=usb,p2={SOCKETS},p3=1", "-device", "virtio-serial-pci"]
    arguments += ["-device", f"usb-hub,bus=usb.0,port={HUB}"]
    for name in ("host", "output"):
        arguments += ["-chardev", f"socket,id={name},path={folder}/{name},server=on,wait=on"]
        arguments += ["-device", f"virtserialport,chardev={name},name={name}"]
    for n in range(ADAPTERS):
        # An adapter's far end is a line of the guest itself: QEMU is connected to QEMU.
        arguments += ["-chardev", f"socket,id=adapter{n},path={folder}/adapter{n},server=on,wait=off"]
        arguments += ["-chardev", f"socket,id=line{n},path={folder}/adapter{n}"]
        arguments += ["-device", f"virtserialport,chardev=line{n},name=line{n}"]
    return arguments


class Machine:
    """One run. `show` gets what the guest's program prints."""

    def __init__(self, kernel: Path, initramfs: Path, folder: Path, show: Callable[[str], object]) -> None:
        self._command = command(kernel, initramfs, folder)
        self._folder = folder
        self._show = show
        self._qmp: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, arguments: Sequence[str]) -> int:
        """Boot, run the guest's program with `arguments`; its exit code. MachineError: it ended without one."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=die_with_parent,
        )
        ended = asyncio.create_task(self._ended(process))
        guest = asyncio.create_task(self._serve(list(arguments)))
        try:
            await asyncio.wait((ended, guest), return_when=asyncio.FIRST_COMPLETED)
            if guest.done():
                return guest.result()
            raise MachineError(ended.result())
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            guest.cancel()
            await asyncio.gather(ended, guest, return_exceptions=True)

    async def _ended(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdout is not None
        words = (await process.stdout.read()).decode(errors="replace").strip()
        return f"QEMU ended with {await process.wait()}: {words or 'the guest has switched itself off'}"

    async def _serve(self, arguments: list[str]) -> int:
        """Do what the guest asks for until it says that it is done."""
        asks, answers = await self._connect("host")
        output, output_writer = await self._connect("output")
        self._qmp = await self._connect("qmp")
        await self._qmp[0].readline()  # its greeting
        await self._execute("qmp_capabilities")
        printing = asyncio.create_task(self._print(output))
        try:
            while line := await asks.readline():
                request = json.loads(line)
                if request["do"] == "done":
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(printing, OUTPUT_DEADLINE)
                    return int(request["code"])
                answers.write(json.dumps(await self._answer(request, arguments)).encode() + b"\n")
                await answers.drain()
            raise MachineError("the guest's line closed")
        finally:
            printing.cancel()
            for writer in (answers, output_writer, self._qmp[1]):
                writer.close()

    async def _answer(self, request: Answer, arguments: list[str]) -> Answer:
        try:
            match request["do"]:
                case "begin":
                    return {"ok": True, "arguments": arguments}
                case "plug":
                    n = request["line"]
                    where = {"bus": "usb.0", "port": str(request["socket"])}
                    await self._plug(driver="usb-serial", id=f"stick{n}", chardev=f"adapter{n}", **where)
                case "unplug":
                    await self._execute("device_del", id=f"stick{request['line']}")
                case verb:
                    raise MachineError(f"what is {verb!r}?")
        except MachineError as error:
            return {"ok": False, "error": str(error)}
        return {"ok": True}

    async def _plug(self, **device: str) -> None:
        """Some time after a device is gone, QEMU gives free what it had."""
        end = asyncio.get_running_loop().time() + QMP_DEADLINE
        while True:
            try:
                return await self._execute("device_add", **device)
            except MachineError:
                if asyncio.get_running_loop().time() > end:
                    raise
            await asyncio.sleep(0.02)

    async def _execute(self, name: str, **arguments: Any) -> None:
        assert self._qmp is not None
        reader, writer = self._qmp
        writer.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        async with asyncio.timeout(QMP_DEADLINE):
            while True:
                answer = json.loads(await reader.readline())
                if "error" in answer:
                    raise MachineError(f"{name}: {answer['error']['desc']}")
                if "return" in answer:  # and not an event
                    return

    async def _connect(self, name: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                return await asyncio.open_unix_connection(str(self._folder / name), limit=ASK_LIMIT)
            except OSError:  # QEMU has not come so far
                await asyncio.sleep(0.02)

    async def _print(self, output: asyncio.StreamReader) -> None:
        while data := await output.read(65536):
            self._show(data.removesuffix(END_OF_OUTPUT).decode(errors="replace"))
            if data.endswith(END_OF_OUTPUT):
                return
