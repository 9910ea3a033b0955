"""The sticks of the lab, as data: what their USB descriptors say, and which port has the emulated phone behind it.

To add one: an entry in `STICKS`; its phone is a personality of `hardware/emulator`, or none.
"""

from __future__ import annotations

from dataclasses import dataclass

Triplet = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Stick:
    """`functions` are the kernel's own gadgets by name, in the order of their interfaces; then come `triplets`.

    A triplet is a vendor interface with that class, subclass and protocol and a bulk endpoint each way. `at` counts
    both together, from 0; None: no phone answers anywhere. Four ports are what `dummy_hcd` has endpoints for.
    """

    vid: int
    pid: int
    manufacturer: str
    product: str
    personality: str = ""
    functions: tuple[str, ...] = ()
    triplets: tuple[Triplet, ...] = ()
    at: int | None = None
    serial: str = ""
    release: int = 0x0100  # bcdDevice
    status: bytes = b""  # what an FTDI chip puts in front of each packet: the state of its lines

    @property
    def ports(self) -> int:
        """How many serial ports the kernel makes of it."""
        return len(self.functions) + len(self.triplets)

    @property
    def vid_pid(self) -> str:
        return f"{self.vid:04x}:{self.pid:04x}"


STICKS = {
    # option; the AT port is the third: DIAG, NMEA, AT, PPP (domain A1)
    "ec25": Stick(
        *(0x2C7C, 0x0125, "Quectel", "EC25-EF", "ec25"),
        triplets=((0xFF, 0xFF, 0xFF), (0xFF, 0, 0), (0xFF, 0, 0), (0xFF, 0, 0)),
        at=2,
    ),
    # option, on the kernel's serial gadget: DIAG, NMEA, AT, PPP
    "sim7600": Stick(
        *(0x1E0E, 0x9001, "SimTech, Incorporated", "SimTech, Incorporated", "sim7600"),
        functions=("gser",) * 4,
        at=2,
        serial="0123456789ABCDEF",  # the same on each of them
    ),
    # option, found by its class triplet (domain A1.2): PPP, PCUI, GPS
    "e3372": Stick(
        *(0x12D1, 0x1506, "HUAWEI_MOBILE", "HUAWEI_MOBILE", "e3372"),
        triplets=((0xFF, 0x02, 0x01), (0xFF, 0x02, 0x02), (0xFF, 0x02, 0x05)),
        at=1,
    ),
    # cdc_acm; two interfaces a port: 00, 02, 04
    "sara": Stick(
        *(0x1546, 0x1102, "u-blox", "SARA-U201", "sara"),
        functions=("acm",) * 3,
        at=0,
    ),
    # ftdi_sio: a SIM800 board on a cable that says nothing of it
    "ft232r": Stick(
        *(0x0403, 0x6001, "FTDI", "FT232R USB UART", "sim800l"),
        triplets=((0xFF, 0xFF, 0xFF),),
        at=0,
        serial="A50285BI",
        release=0x0600,
        status=b"\x01\x60",
    ),
    # no serial port for a phone: reported with the fix, never opened (domain A1, A1.6)
    "cdrom": Stick(0x12D1, 0x1F01, "HUAWEI_MOBILE", "HUAWEI_MOBILE", functions=("mass_storage",)),
    "hilink": Stick(0x12D1, 0x14DC, "HUAWEI_MOBILE", "HUAWEI_MOBILE", functions=("ecm",)),
    "edl": Stick(0x05C6, 0x9008, "Qualcomm CDMA Technologies MSM", "QHSUSB__BULK", triplets=((0xFF, 0xFF, 0xFF),)),
}

# QEMU's own serial adapter on its xHCI controller, with a phone behind it. Its descriptors are QEMU's.
ADAPTER = Stick(0x0403, 0x6001, "QEMU", "QEMU USB SERIAL", "sim800l", functions=("qemu",), at=0)
