"""From an open port to a modem that can work: who it is, what it can do, how it is set (domain A2.2)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

from hardware.at import commands, parsers
from hardware.at.channel import AtChannel
from hardware.at.parsers import ImeiText
from hardware.at.types import AtCommandError, Command
from hardware.errors import AtTimeout, HardwareError, ModemError, WrongModem
from hardware.modem import profile as profiles
from hardware.modem.config import ModemConfig, PinLedger
from hardware.modem.dialogue import ask, must, patiently
from hardware.modem.profile import Profile
from hardware.modem.sim import read_iccid, unlock
from hardware.types import ModemStatus

__all__ = ["Abilities", "Interview", "Storages"]

_LOG = logging.getLogger(__name__)

CELL_DOMAINS = ("CREG", "CEREG")


@dataclass(frozen=True, slots=True)
class Storages:
    """Where messages are. `home`: new ones arrive there; `all`: to be swept; `arguments`: how many `+CPMS` takes."""

    home: str = "SM"
    all: tuple[str, ...] = ("SM",)
    arguments: int = 3

    def select(self, storage: str) -> Command:
        """Read and delete in `storage`, receive at home."""
        return commands.select_storage(*(storage, self.home, self.home)[: self.arguments])


@dataclass(slots=True)
class Abilities:
    """What the interview found out."""

    profile: Profile = profiles.GENERIC
    storages: Storages = field(default_factory=Storages)
    cnmi: tuple[int, ...] | None = None  # None: new messages are found by polling only
    domains: tuple[str, ...] = ()  # of +CREG and +CEREG, those that answer
    has_cesq: bool = True
    took_pin: bool = False  # the SIM took the modem's configured PIN


class Interview:
    """One run over one channel; fills `status` and returns the abilities. Raises HardwareError; safe to repeat."""

    def __init__(self, channel: AtChannel, config: ModemConfig, status: ModemStatus, ledger: PinLedger) -> None:
        self._channel = channel
        self._config = config
        self._status = status
        self._ledger = ledger
        self._profile = profiles.GENERIC

    async def run(self) -> Abilities:
        """The whole sequence, one command at a time, without a pause (domain A2.2 rows 3 to 14)."""
        await self._speak()
        found = Abilities()
        found.profile = self._profile = await self._identify()
        self._profile.guide(self._channel)
        for command in found.profile.init_commands:
            await ask(self._channel, command)
        found.took_pin = await unlock(self._channel, self._status, found.profile, self._config, self._ledger)
        await self._identify_sim(found.profile)
        if found.took_pin and self._status.iccid is not None:
            self._config = replace(self._config, pin_sim=self._status.iccid)
        await self._set_messages(found)
        await self._set_cells(found)
        for line in self._config.init_commands:
            await self._configured(line)
        self._status.capabilities = {
            "profile": found.profile.label,
            "storages": list(found.storages.all),
            "home_storage": found.storages.home,
            "cnmi": list(found.cnmi) if found.cnmi else None,
            "registration": list(found.domains),
        }
        return found

    async def announce_messages(self) -> tuple[int, ...] | None:
        """Have new messages stored and announced; the `+CNMI` that the modem took, None: it takes none."""
        for setting in self._profile.cnmi_ladder:
            try:
                await patiently(self._channel, commands.new_messages(*setting))
            except (AtCommandError, AtTimeout):
                continue
            return setting
        return None

    async def look_further(self) -> None:
        """What is nice to know and may be slow; asked once the modem is in service."""
        channel, status = self._channel, self._status
        if status.smsc is None:
            await self._ask_service_centre()
        await ask(channel, commands.operator_as_name())
        if (answer := await ask(channel, commands.own_numbers())) is not None:
            numbers = [number for line in answer.lines if (number := parsers.cnum(line))]
            status.number = numbers[0] if numbers else None
        capabilities = dict(status.capabilities)
        if (answer := await ask(channel, commands.keep_link_modes())) is not None:
            modes = next((m for line in answer.lines if (m := parsers.cmms_modes(line)) is not None), None)
            capabilities["cmms"] = sorted(modes) if modes else None
        if (answer := await ask(channel, commands.new_message_modes())) is not None:
            sets = next((s for line in answer.lines if (s := parsers.cnmi_modes(line)) is not None), None)
            capabilities["cnmi_modes"] = [sorted(one) for one in sets] if sets else None
        if (answer := await ask(channel, commands.message_services())) is not None:
            services = next((n for line in answer.lines if (n := parsers.csms_services(line)) is not None), None)
            capabilities["csms"] = sorted(services) if services else None
        capabilities["encodings"] = ["gsm7", "ucs2", "8bit"]  # PDU mode: the alphabet is ours, not the modem's
        status.capabilities = capabilities

    async def _speak(self) -> None:
        channel = self._channel
        await must(channel, commands.echo_off(), "the modem refuses ATE0")
        await ask(channel, commands.verbose_results())
        await ask(channel, commands.quiet_off())
        if await ask(channel, commands.error_codes(1)) is None:
            await ask(channel, commands.error_codes(2))

    async def _identify(self) -> Profile:
        channel, status = self._channel, self._status
        status.manufacturer = await self._info(commands.manufacturer(), "+CGMI")
        status.model = await self._info(commands.model(), "+CGMM")
        status.firmware = await self._info(commands.revision(), "+CGMR")
        imei = await self._imei()
        if status.manufacturer is None:
            answer = await ask(channel, commands.information())
            lines = answer.lines if answer is not None else []
            status.manufacturer = status.manufacturer or (lines[0][:80] if lines else None)
            status.model = status.model or (lines[1][:80] if len(lines) > 1 else None)
        if imei is not None and self._config.imei not in (None, imei.digits):
            raise WrongModem(
                f"another modem answers on {self._config.port} than the one that was there",
                hint="the ports were numbered anew; they are looked at again",
            )
        if imei is not None and not imei.valid:
            _LOG.warning("%s: its IMEI fails the check digit", status.name, extra={"modem": status.name})
        status.imei = imei.digits if imei is not None else None
        return profiles.find(status.manufacturer, status.model)

    async def _imei(self) -> ImeiText | None:
        for command in commands.IMEI_COMMANDS:
            answer = await ask(self._channel, command)
            if answer is not None and (found := parsers.imei(answer.lines)) is not None:
                return found
        return None

    async def _info(self, command: Command, prefix: str) -> str | None:
        answer = await ask(self._channel, command)
        return parsers.info_text(answer.lines, prefix) if answer is not None else None

    async def _identify_sim(self, profile: Profile) -> None:
        try:
            answer = await patiently(self._channel, commands.imsi())
            self._status.imsi = parsers.imsi(answer.lines)
        except (AtCommandError, AtTimeout):
            self._status.imsi = None
        self._status.iccid = await read_iccid(self._channel, profile)

    async def _set_messages(self, found: Abilities) -> None:
        channel = self._channel
        try:
            await patiently(channel, commands.message_format())
        except AtCommandError as error:
            raise ModemError(f"the modem has no PDU mode: {error.text}") from error
        await ask(channel, commands.message_service(0))
        found.storages = await self._choose_storages()
        found.cnmi = await self.announce_messages()
        await self._ask_service_centre()

    async def _ask_service_centre(self) -> None:
        if (answer := await ask(self._channel, commands.service_centre())) is not None:
            numbers = [number for line in answer.lines if (number := parsers.csca(line))]
            self._status.smsc = numbers[0] if numbers else None

    async def _choose_storages(self) -> Storages:
        """Receive where the modem receives now, so that nothing is left behind; SM or ME rather than their union."""
        channel = self._channel
        answer = await patiently(channel, commands.storage_names())
        offered = next((g for line in answer.lines if (g := parsers.cpms_storages(line)) is not None), ())
        readable = offered[0] if offered else ("SM", "ME")
        receiving = offered[-1] if offered else readable
        answer_now = await ask(channel, commands.storage_use())
        use = next((u for line in answer_now.lines if (u := parsers.cpms(line))), ()) if answer_now is not None else ()
        candidates = [use[-1].storage if use else None, *self._profile.storages, "SM", "ME", "MT"]
        homes = [s for s in candidates if s is not None and s in receiving and s in readable and s != "MT"] or ["SM"]
        swept = tuple(s for s in ("SM", "ME", "SR") if s in readable) or readable[:1]
        for home in dict.fromkeys(homes):
            for arguments in self._profile.cpms_arguments:
                storages = Storages(home, swept if home in swept else (home, *swept), arguments)
                try:
                    await patiently(channel, storages.select(home))
                except AtCommandError:
                    continue
                return storages
        raise ModemError("the modem refuses every message storage (+CPMS)", hint="try another SIM")

    async def _set_cells(self, found: Abilities) -> None:
        domains = []
        for domain in CELL_DOMAINS:
            level = 2 if await ask(self._channel, commands.cell_reports(domain, 2)) is not None else 1
            if level == 2 or await ask(self._channel, commands.cell_reports(domain, 1)) is not None:
                domains.append(domain)
        found.domains = tuple(domains)
        await ask(self._channel, commands.caller_id())

    async def _configured(self, line: str) -> None:
        """A line of the configuration; one that is refused is said, not obeyed."""
        try:
            await self._channel.command(commands.raw(line))
        except HardwareError as error:
            if not isinstance(error, (AtCommandError, AtTimeout)) and error.retryable:
                raise
            _LOG.warning("%s: init command refused: %s", self._status.name, error, extra={"modem": self._status.name})
