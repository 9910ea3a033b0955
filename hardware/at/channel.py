"""One AT dialogue over one connection: commands one at a time, sends, unsolicited lines (TS 27.005, TS 27.007)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from hardware.at import timeouts
from hardware.at.errors import failure
from hardware.at.exchange import REFERENCE, CommandExchange, Exchange, ProbeExchange, SendExchange, Stage
from hardware.at.framing import AtFramer, Line
from hardware.at.resync import ESCAPE, synchronise
from hardware.at.routing import UrcRouter
from hardware.at.types import AtCommandError, Command, Response, Urc, WritePacing
from hardware.errors import AtArgumentError, AtTimeout, HardwareError, PortLost
from hardware.transport import LoopbackEnd, SerialLink, WireTrace, open_port
from hardware.types import Authorise, SendOutcome, SendResult

__all__ = [
    "AtChannel",
    "AtCommandError",
    "AtTimeout",
    "Command",
    "LateHandler",
    "Response",
    "Turn",
    "Urc",
    "WritePacing",
]

_LOGGER = logging.getLogger(__name__)

LateHandler = Callable[[object, SendResult], None]

MAX_SILENCES: Final = 3  # commands in a row without an answer: the connection is of no use any more
MAX_OCTETS: Final = 164  # of an SMS-SUBMIT: 24 of header at most, 140 of user data (TS 23.040 9.2.2.2)
REMEMBERED_ECHOES: Final = 8
CLOCK_STEP: Final = 0.001  # seconds; a shorter rest of a wait is none
CTRL_Z: Final = b"\x1a"
ESC: Final = b"\x1b"


@dataclass(slots=True)
class _UnknownSend:
    """A send that was given up; its reference may still come."""

    token: object
    until: float
    started: float


class Turn:
    """The channel's turn in one task's hands: its commands follow each other, nobody else's come in between."""

    def __init__(self, ask: Callable[[Command], Awaitable[Response]]) -> None:
        self._ask: Callable[[Command], Awaitable[Response]] | None = ask

    async def command(self, command: Command) -> Response:
        """As `AtChannel.command`, without waiting. Raises RuntimeError once the turn is over."""
        if self._ask is None:
            raise RuntimeError("the turn is over: the channel may be in a send")
        return await self._ask(command)

    def end(self) -> None:
        """What the channel calls when it takes the turn back."""
        self._ask = None


class AtChannel:
    """Use once: one object for one connection. One exchange at a time; the rest wait in the order they came.

    All of it runs on one loop. `pacing` may be set at any time, and `skip`: beginnings of commands that crash this
    modem; they are refused as the modem would. `trace` shows the last lines of the wire.
    """

    def __init__(self, trace: WireTrace | None = None) -> None:
        self.trace = trace or WireTrace()
        self.pacing = WritePacing()
        self.skip: tuple[str, ...] = ()
        self.strays = 0  # lines that were nobody's
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[HardwareError] = self._loop.create_future()
        self._framer = AtFramer()
        self._router = UrcRouter()
        self._link: SerialLink | None = None
        self._turn = asyncio.Lock()
        self._current: Exchange | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_read = 0.0
        self._echoes: deque[str] = deque(maxlen=REMEMBERED_ECHOES)
        self._suspect = False
        self._escape = False  # a resync must clear a prompt first
        self._resyncing = False
        self._unanswered: list[str] = []
        self._silences = 0
        self._unknown: _UnknownSend | None = None
        self._late_handlers: list[LateHandler] = []
        self._swallow_ok_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def open(cls, url: str, *, baudrate: int = 115200, trace: WireTrace | None = None) -> AtChannel:
        """Open the port and write nothing yet: call `resync()` next. Raises as `hardware.transport.open_port`."""
        channel = cls(trace)
        link = await open_port(url, baudrate=baudrate, protocol_factory=lambda: channel)
        channel.connection_made(link)
        return channel

    @classmethod
    def attach(cls, link: LoopbackEnd, *, trace: WireTrace | None = None) -> AtChannel:
        """A channel on one end of a `loopback()`."""
        channel = cls(trace)
        link.attach(channel)
        return channel

    @property
    def port(self) -> str:
        return self._link.port if self._link is not None else ""

    @property
    def is_closed(self) -> bool:
        return self.closed.done()

    @property
    def sending(self) -> bool:
        """A send is between AT+CMGS and its result."""
        return isinstance(self._current, SendExchange)

    async def command(self, command: Command) -> Response:
        """The answer to `command`, which waits its turn. Raises AtCommandError, AtTimeout, PortLost."""
        async with self._turn:
            return await self._ask(command)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for the turn and keep it for several commands; all others wait meanwhile, sends too.

        Only `Turn.command` may be used inside; the channel's own methods would wait for the turn's end.
        """
        async with self._turn:
            turn = Turn(self._ask)
            try:
                yield turn
            finally:
                turn.end()

    async def send_pdu(
        self,
        length: int,
        pdu_hex: str,
        authorise: Authorise,
        *,
        token: object = None,
        prompt_timeout: float = timeouts.PROMPT,
        result_timeout: float = timeouts.RESULT,
    ) -> SendResult:
        """Hand one part over: `length` TPDU octets, `pdu_hex` has the SMSC's in front. A result for every modem reason.

        `authorise` runs while the prompt is awaited; what it raises is raised here once the prompt is cleared with ESC,
        and so is a cancellation before Ctrl-Z. Cancelled later, the dialogue goes on and `on_late_result` tells.
        """
        pdu = _checked_pdu(length, pdu_hex)
        await self._turn.acquire()
        release = True
        try:
            refused = await self._ready_to_send()
            if refused is not None:
                return refused
            exchange = SendExchange(self, pdu, prompt_timeout, result_timeout)
            self._start(exchange, f"AT+CMGS={length}", shown=None, prompt=True)
            exchange.begin()
            not_committed: Exception | None = None
            try:
                try:
                    await self._hand_over(exchange, pdu, authorise)
                except Exception as error:  # authorise() failed: raised again below, with the line clear
                    not_committed = error
                    await self._abort(exchange)
                await exchange.moved(Stage.DONE)
            except asyncio.CancelledError:
                release = False
                self._finish_alone(exchange, token)
                raise
            result = self._settled(exchange, token)
            if not_committed is not None:
                raise not_committed
            return result
        finally:
            if release:
                self._turn.release()

    def on_urc(self, prefix: str, handler: Callable[[Urc], None], following_lines: int = 0) -> Callable[[], None]:
        """Call `handler` on the loop for unsolicited lines that begin with `prefix`; returns what takes it back."""
        return self._router.add(prefix, handler, following_lines)

    def on_late_result(self, handler: LateHandler) -> Callable[[], None]:
        """Told (token, result) when a send is resolved that ended unknown, or whose caller was cancelled."""
        self._late_handlers.append(handler)

        def remove() -> None:
            if handler in self._late_handlers:
                self._late_handlers.remove(handler)

        return remove

    async def resync(self) -> None:
        """ESC CR, drain, AT until it answers, a recognisable question. Raises AtTimeout (and closes), PortLost."""
        async with self._turn:
            self._check_open()
            self._framer.forget_stale_prompt()
            self._escape = True
            await self._synchronise()

    async def wait_lost(self) -> HardwareError:
        """Wait for the end of this connection; returns its reason: PortLost, or AtTimeout if the modem fell silent."""
        return await asyncio.shield(self.closed)

    async def close(self) -> bool:
        """Give the port back; False: the kernel did not take it within its deadline (wedged). Idempotent."""
        exchange = self._current
        if isinstance(exchange, SendExchange) and exchange.stage in (Stage.ASKED, Stage.PROMPTED):
            self.write_bytes(ESC, "<ESC>")
        self._end(PortLost(f"{self.port} was closed"))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeouts.CLOSE)
        return self._link is None or await self._link.wait_closed(timeouts.CLOSE)

    # What the link calls

    def connection_made(self, link: SerialLink) -> None:
        self._link = link

    def data_received(self, data: bytes) -> None:
        self._last_read = self._loop.time()
        for event in self._framer.events(data):
            if isinstance(event, Line):
                self._on_line(event.text)
            else:
                self.trace.received(">")
                if self._current is not None:
                    self._current.prompt()
                elif self._resyncing:
                    self._clear_prompt()

    def connection_lost(self, error: PortLost | None) -> None:
        self._end(error or PortLost(f"{self.port} was closed"))

    # What an exchange and a resync call

    def time(self) -> float:
        return self._loop.time()

    def arm(self, seconds: float | None) -> None:
        if seconds is None:
            self._deadline = None
            return
        self._deadline = deadline = self._loop.time() + seconds
        # One timer for all: it may be early, then it is set again. Most exchanges never touch it.
        if self._timer is None or self._timer.when() > deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def finished(self, *, suspect: bool) -> None:
        self._current = None
        self._deadline = None
        self._framer.expect_prompt = False
        if suspect:
            self._suspect = True

    def is_urc(self, line: str) -> bool:
        return self._router.knows(line)

    def write_bytes(self, data: bytes, shown: str) -> None:
        if self._link is not None:
            self.trace.sent(shown)
            self._link.write(data)

    async def drain(self) -> None:
        self._framer.expect_prompt = True
        now = self._last_read = self._loop.time()
        end = now + timeouts.DRAIN
        while now < end and (remaining := self._last_read + timeouts.QUIET - now) > CLOCK_STEP:
            await asyncio.sleep(remaining)
            now = self._loop.time()
        self._check_open()

    async def probe(self, text: str, marker: str, timeout: float) -> bool:
        await self._rest()
        future: asyncio.Future[bool] = self._loop.create_future()
        exchange = ProbeExchange(self, marker, future, self._clear_prompt)
        self._start(exchange, text, shown=None, prompt=True)
        self.arm(timeout)
        answered = False
        try:
            answered = await future
        finally:
            if not answered:
                self._unanswered.append(text)
                if marker:  # lost, as it came right behind an answer?
                    self.pacing = replace(self.pacing, gap=max(self.pacing.gap, timeouts.GAP))
            if self._current is exchange:  # cancelled
                self.finished(suspect=True)
        return answered

    # The turn's holder

    async def _ask(self, command: Command) -> Response:
        self._check_open()
        if self.skip and command.text.upper().startswith(self.skip):
            raise AtCommandError(command.shown, None, None, "not written: this command is known to crash the modem")
        if self._is_suspect():
            await self._synchronise()
        await self._rest()
        return await self._run(command)

    async def _rest(self) -> None:
        """Wait until the modem has had its rest since the last octet it said. Raises PortLost."""
        if self.pacing.gap and (rest := self._last_read + self.pacing.gap - self._loop.time()) > 0:
            await asyncio.sleep(rest)
        self._check_open()

    async def _run(self, command: Command) -> Response:
        future: asyncio.Future[Response] = self._loop.create_future()
        exchange = CommandExchange(self, command, future)
        self._start(exchange, command.text, command.shown if command.secret else None)
        self.arm(command.timeout)
        try:
            response = await future
        except AtCommandError:
            self._silences = 0
            raise
        except AtTimeout as silence:
            self._unanswered.append(command.text)
            self._count_silence(silence)
            raise
        except asyncio.CancelledError:
            if self._current is exchange:
                self._unanswered.append(command.text)
                self.finished(suspect=True)
            raise
        self._silences = 0
        if self._suspect:  # its optional OK did not come, and may yet
            self._unanswered.append(command.text)
        return response

    def _start(self, exchange: Exchange, text: str, shown: str | None, *, prompt: bool = False) -> None:
        self._current = exchange
        self._framer.expect_prompt = prompt
        self._echoes.append(text)
        self.write_bytes(text.encode("ascii") + b"\r", shown or text)

    def _is_suspect(self) -> bool:
        if self._framer.forget_stale_prompt():  # the modem waits for a PDU that nobody wants to send
            self._suspect = self._escape = True
        return self._suspect

    async def _synchronise(self) -> None:
        # Bytes abort a send that the modem still has in hand (domain A3.3): few of them, and time for its result.
        after_send = self._unknown is not None and self._loop.time() < self._unknown.until
        probes = timeouts.PROBES_AFTER_SEND if after_send and not self._escape else timeouts.PROBES
        self._resyncing = True
        try:
            await synchronise(self, self._unanswered, escape=self._escape, probes=probes)
        except AtTimeout as silence:
            self._end(silence)
            raise
        finally:
            self._resyncing = self._framer.expect_prompt = False
        self._suspect = self._escape = False
        self._unanswered.clear()

    async def _ready_to_send(self) -> SendResult | None:
        """None: the line is clear. Else why this part was not sent."""
        if self.is_closed:
            return _not_sent("port_lost")
        try:
            if self._is_suspect():
                await self._synchronise()
            await self._rest()
        except AtTimeout:
            return _not_sent("not_answering")
        except PortLost:
            return _not_sent("port_lost")
        return None

    async def _hand_over(self, exchange: SendExchange, pdu: str, authorise: Authorise) -> None:
        """From AT+CMGS to Ctrl-Z, or to the end of the dialogue before that."""
        if not await _authorised(authorise):
            await self._abort(exchange)
            return
        if await exchange.moved(Stage.PROMPTED) is not Stage.PROMPTED:
            return
        if not await self._paced(exchange, pdu):
            return
        if self._link is None or self._link.is_closing:
            exchange.withdraw()
            return
        self._unknown = None  # a second send hides the first one's reference (domain A3.3)
        size = self.pacing.chunk
        rest = pdu[(len(pdu) - 1) // size * size :] if size else pdu
        self.write_bytes(rest.encode("ascii") + CTRL_Z, f"<hex {len(rest)}> <Ctrl-Z>")
        exchange.written()

    async def _paced(self, exchange: SendExchange, pdu: str) -> bool:
        """All of the PDU but its last chunk, as slowly as the modem needs it. False: the dialogue ended meanwhile."""
        pacing = self.pacing
        if pacing.delay:
            await asyncio.sleep(pacing.delay)
        if pacing.chunk:
            for start in range(0, (len(pdu) - 1) // pacing.chunk * pacing.chunk, pacing.chunk):
                if exchange.stage is not Stage.PROMPTED:
                    break
                chunk = pdu[start : start + pacing.chunk]
                self.write_bytes(chunk.encode("ascii"), f"<hex {len(chunk)}>")
                await asyncio.sleep(pacing.chunk_delay)
        return exchange.stage is Stage.PROMPTED

    async def _abort(self, exchange: SendExchange) -> None:
        """Leave the dialogue before Ctrl-Z: ESC at the prompt, never before it, and the modem's answer to that."""
        exchange.withdrawn = True
        if await exchange.moved(Stage.PROMPTED) is Stage.PROMPTED:
            self.write_bytes(ESC, "<ESC>")
            exchange.aborting()
            await exchange.moved(Stage.DONE)

    def _settled(self, exchange: SendExchange, token: object) -> SendResult:
        """Book-keeping when the dialogue is over."""
        result = exchange.result
        assert result is not None
        error = result.error
        if result.outcome is SendOutcome.UNKNOWN:
            now = self._loop.time()
            self._unknown = _UnknownSend(token, now - result.seconds + timeouts.LATE_RESULT, now - result.seconds)
        if exchange.needs_escape and not self.is_closed:
            self.write_bytes(ESCAPE, "<ESC>")
            self._escape = True
        if self._suspect:
            self._unanswered.append("AT+CMGS")
        if exchange.silent:
            self._count_silence(AtTimeout("no prompt"))
        elif error is None or error.code != "port_lost":
            self._silences = 0
        return result

    def _finish_alone(self, exchange: SendExchange, token: object) -> None:
        """The caller is gone: keep the turn until the dialogue is over, and tell what came of it."""

        async def finish() -> None:
            try:
                if exchange.stage in (Stage.WRITTEN, Stage.DONE):
                    await exchange.moved(Stage.DONE)
                    self._tell(token, self._settled(exchange, token))
                else:
                    await self._abort(exchange)
                    self._settled(exchange, token)
            finally:
                self._turn.release()

        task = self._loop.create_task(finish(), name=f"end of a send on {self.port}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Lines

    def _on_line(self, text: str) -> None:
        current = self._current
        if text in self._echoes:
            self.trace.remark("echo")
            if current is not None:
                current.echo()
            return
        self.trace.received(text)
        now = self._last_read
        if self._router.waiting and self._router.take_body(text, now):
            return
        if self._swallow_ok_until and not self._router.knows(text):
            swallow = text == "OK" and now < self._swallow_ok_until
            self._swallow_ok_until = 0.0
            if swallow:
                return
        if text.startswith("OK") and text != "OK" and self._router.knows(text[2:].lstrip()):
            self._on_line("OK")  # a URC stuck to it
            self._on_line(text[2:].lstrip())
            return
        if current is not None and current.line(text):
            return
        if text.startswith(REFERENCE):
            self._late_reference(text)
        elif self._router.dispatch(text, now):
            if current is not None:
                current.urc_passed(text)
        else:
            self.strays += 1

    def _late_reference(self, text: str) -> None:
        """`+CMGS:` while no send waits for it: that of the last unknown one (domain A3.3)."""
        self._swallow_ok_until = self._last_read + timeouts.OK_GRACE  # the OK behind it is no command's
        unknown = self._unknown
        if unknown is None or self._last_read > unknown.until:
            self.strays += 1
            return
        self._unknown = None
        mr = text.partition(":")[2].partition(",")[0].strip()
        number = int(mr) if mr.isascii() and mr.isdigit() and len(mr) <= 3 and int(mr) <= 255 else None
        self._tell(unknown.token, SendResult(SendOutcome.SENT, mr=number, seconds=self._last_read - unknown.started))

    def _tell(self, token: object, result: SendResult) -> None:
        for handler in list(self._late_handlers):
            try:
                handler(token, result)
            except Exception:  # a listener's fault is not the channel's
                _LOGGER.exception("The handler of a late result failed")

    # The end

    def _clear_prompt(self) -> None:
        self.write_bytes(ESC, "<ESC>")
        self._framer.expect_prompt = True  # there may be one more behind it

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline is None or self._current is None:
            return
        remaining = self._deadline - self._loop.time()
        if remaining > 0:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        else:
            self._deadline = None
            self._current.expired()

    def _count_silence(self, silence: AtTimeout) -> None:
        self._silences += 1
        if self._silences >= MAX_SILENCES:
            self._end(AtTimeout(f"{MAX_SILENCES} commands in a row without an answer", hint=silence.hint))

    def _check_open(self) -> None:
        if self.closed.done():
            reason = self.closed.result()
            raise PortLost(str(reason), hint=reason.hint)

    def _end(self, reason: HardwareError) -> None:
        """Once: the connection is over."""
        if self.closed.done():
            return
        self.closed.set_result(reason)
        self.trace.remark(str(reason))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._link is not None:
            self._link.abort()
        if self._current is not None:
            self._current.lost(reason if isinstance(reason, PortLost) else PortLost(str(reason), hint=reason.hint))


def _not_sent(code: str) -> SendResult:
    return SendResult(SendOutcome.NOT_SENT, error=failure(code, after_pdu=False).error)


async def _authorised(authorise: Authorise) -> bool:
    """False also when the answer takes too long: a prompt does not stay for ever."""
    deadline = asyncio.timeout(timeouts.AUTHORISE)
    try:
        async with deadline:
            return await authorise()
    except TimeoutError:
        if deadline.expired():
            return False
        raise


def _checked_pdu(length: int, pdu_hex: str) -> str:
    """`pdu_hex` in upper case. Raises AtArgumentError for what is not `length` octets behind an SMSC address."""
    try:
        octets = bytes.fromhex(pdu_hex)
    except ValueError:
        raise AtArgumentError("a PDU must be hex digits in pairs") from None
    if len(pdu_hex) != 2 * len(octets) or not octets or not 0 < length <= MAX_OCTETS:
        raise AtArgumentError("a PDU must be hex digits in pairs, without blanks, and not empty")
    if len(octets) != 1 + octets[0] + length:
        raise AtArgumentError("the PDU's length is not what it says")
    return pdu_hex.upper()
