"""Ring 3: commands, answers and unsolicited lines over a loopback, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.at import timeouts
from hardware.at.channel import AtChannel
from hardware.at.types import AtCommandError, Command, Urc
from hardware.errors import AtArgumentError, AtTimeout, PortLost
from hardware.transport import loopback
from tests.support.examples import NO_HANG, examples
from tests.support.scripted_modem import OK, Answer, ScriptedModem, byte_by_byte, whole

pytestmark = pytest.mark.looptime

SIGNAL = Command("AT+CSQ", prefix="+CSQ:")
MAKER = Command("AT+CGMI")
REGISTRATION = Command("AT+CREG?", prefix="+CREG:", accepts=lambda line: line.count(",") in (1, 3, 4))

Rig = Callable[..., tuple[AtChannel, ScriptedModem]]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made: list[tuple[AtChannel, ScriptedModem]] = []

    def make(answers: dict[str, Answer] | None = None, **options: object) -> tuple[AtChannel, ScriptedModem]:
        near, far = loopback()
        modem = ScriptedModem(far, answers, **options)  # type: ignore[arg-type]
        far.attach(modem)
        made.append((AtChannel.attach(near), modem))
        return made[-1]

    yield make
    for channel, modem in made:
        await channel.close()
        modem.check()


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize(
    "answer",
    [
        b"\r\n+CSQ: 20,99\r\n\r\nOK\r\n",
        b"+CSQ: 20,99\r\nOK\r\n",
        b"\r\r\n+CSQ: 20,99\r\r\n\r\r\nOK\r\r\n",
        b"\x00\r\n+CSQ:\x00 20,99\r\n\x00\r\nOK\r\n",
        b"\n+CSQ: 20,99\nOK\n",
        b'\r\n+CMTI: "SM",3\r\n\r\n+CSQ: 20,99\r\n\r\n+CMTI: "SM",4\r\n\r\nOK\r\n',
        b"\r\n^RSSI: 20\r\n\r\n+CSQ: 20,99\r\n\r\n^RSSI: 21\r\n\r\nOK\r\n",
    ],
)
async def test_an_answer_in_all_its_spellings(
    rig: Rig, answer: bytes, echo: bool, cut: Callable[[bytes], Iterator[bytes]]
) -> None:
    channel, _ = rig({"AT+CSQ": answer}, echo=echo, cut=cut)
    response = await channel.command(SIGNAL)
    assert response.lines == ["+CSQ: 20,99"]
    assert response.value("+CSQ") == response.value("+CSQ:") == "20,99"
    assert response.final == "OK"


async def test_bare_lines_are_an_answer_and_urcs_are_not(rig: Rig) -> None:
    channel, _ = rig({"AT+CGMI": b"\r\nRING\r\n\r\nQuectel\r\n\r\n+CREG: 1\r\n" + OK}, echo=True)
    assert (await channel.command(MAKER)).lines == ["Quectel"]


async def test_a_header_and_its_pdu(rig: Rig) -> None:
    channel, _ = rig({"AT+CMGR=1": b"\r\n+CMGR: 0,,23\r\n07913306091000F0040B\r\n" + OK})
    response = await channel.command(Command("AT+CMGR=1", prefix="+CMGR:"))
    assert response.lines == ["+CMGR: 0,,23", "07913306091000F0040B"]
    assert response.bare("+CMGR:") == ["07913306091000F0040B"]


PDU_LINE = "07913306091000F0040B916303214365F70000625011912500800BC8329BFD4697D9EC37"
READ = b"\r\n+CMGR: 0,,31\r\n" + PDU_LINE.encode() + b"\r\n\r\nOK\r\n"


@pytest.mark.parametrize("at", range(len(READ)))
async def test_a_urc_in_the_middle_of_a_message_never_makes_another_message_of_it(rig: Rig, at: int) -> None:
    """Whole or evidently broken: a PDU that only lost its end would be quarantined and deleted."""
    channel, _ = rig({"AT+CMGR=1": READ[:at] + b"\r\n^RSSI: 20\r\n" + READ[at:]})
    lines = (await channel.command(Command("AT+CMGR=1", prefix="+CMGR"))).lines
    in_header = 2 < at <= READ.index(b"31\r")
    if not in_header:
        assert PDU_LINE in lines
    assert "".join(lines).replace(" ", "") == f"+CMGR:0,,31{PDU_LINE}"


@pytest.mark.parametrize("news", [b"\r\n^RSSI: 20\r\n\r\n^NEW: 1,2\r\n", b"\r\n^NEW: 1,2\r\n\r\n^RSSI: 20\r\n"])
async def test_a_urc_that_nobody_knows_is_not_glued_to_a_message(rig: Rig, news: bytes) -> None:
    pdu = PDU_LINE.encode()
    listing = [b"\r\n+CMGL: 1,1,,31\r\n", pdu + b"\r\n", b"\r\n+CMGL: 2,1,,31\r\n", pdu + b"\r\n", OK]
    channel, _ = rig({"AT+CMGL=4": news.join(listing)})
    lines = (await channel.command(Command("AT+CMGL=4", prefix="+CMGL"))).lines
    assert [line for line in lines if not line.startswith("^NEW")] == [
        "+CMGL: 1,1,,31",
        PDU_LINE,
        "+CMGL: 2,1,,31",
        PDU_LINE,
    ]


@pytest.mark.parametrize(
    ("answer", "space", "code", "name"),
    [
        (b"\r\nERROR\r\n", None, None, "error"),
        (b"\r\n+CME ERROR: 14\r\n", "CME", 14, "cme_14"),
        (b"\r\n+CME ERROR: SIM busy\r\n", "CME", 14, "cme_14"),
        (b"\r\n+CMS ERROR: 302\r\n", "CMS", 302, "cms_302"),
        (b"\r\n+CME ERROR: own words\r\n", "CME", None, "cme_unknown"),
        (b"\r\nCOMMAND NOT SUPPORT\r\n", None, None, "error"),
        (b"\r\nNO CARRIER\r\n", None, None, "error"),
    ],
)
async def test_refusals(rig: Rig, answer: bytes, space: str | None, code: int | None, name: str) -> None:
    channel, _ = rig({"AT+CSQ": answer})
    with pytest.raises(AtCommandError) as refused:
        await channel.command(SIGNAL)
    assert (refused.value.space, refused.value.code, refused.value.name) == (space, code, name)
    assert "AT+CSQ" in str(refused.value)


async def test_the_end_of_a_call_is_not_the_answer_to_a_question_when_somebody_listens_for_it(rig: Rig) -> None:
    channel, _ = rig({"AT+CSQ": b"\r\nNO CARRIER\r\n\r\n+CSQ: 20,99\r\n" + OK, "ATH": b"\r\nNO CARRIER\r\n"})
    ended: list[Urc] = []
    channel.on_urc("NO CARRIER", ended.append)
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]
    assert [urc.text for urc in ended] == ["NO CARRIER"]
    with pytest.raises(AtCommandError):
        await channel.command(Command("ATH", call=True))


async def test_one_command_is_in_flight_and_the_rest_wait_in_order(rig: Rig) -> None:
    channel, modem = rig({f"AT+N{i}": None for i in range(4)})
    asked = [asyncio.create_task(channel.command(Command(f"AT+N{i}"))) for i in range(4)]
    for i in range(4):
        await asyncio.sleep(1)
        assert modem.commands == [f"AT+N{n}" for n in range(i + 1)]
        modem.say(f"\r\nanswer {i}\r\n\r\nOK\r\n".encode())
    assert [response.lines for response in await asyncio.gather(*asked)] == [[f"answer {i}"] for i in range(4)]


async def test_the_solicited_form_is_the_answer_and_the_unsolicited_one_goes_to_its_handler(rig: Rig) -> None:
    channel, _ = rig({"AT+CREG?": b"\r\n+CREG: 5\r\n\r\n+CREG: 2,1\r\n" + OK})
    told: list[Urc] = []
    channel.on_urc("+CREG:", told.append)
    assert (await channel.command(REGISTRATION)).lines == ["+CREG: 2,1"]
    assert told == [Urc("+CREG: 5")]


async def test_an_answer_without_its_optional_ok_costs_only_a_moment(rig: Rig, looptime: float) -> None:
    loop = asyncio.get_running_loop()
    channel, _ = rig({"AT+CPIN?": b"\r\n+CPIN: READY\r\n"})
    started = loop.time()
    response = await channel.command(Command("AT+CPIN?", prefix="+CPIN:", ok_optional=True, timeout=20))
    assert (response.lines, response.final) == (["+CPIN: READY"], "")
    assert loop.time() - started == pytest.approx(timeouts.OK_GRACE)


async def test_an_optional_ok_that_comes_late_is_not_the_next_answer(rig: Rig) -> None:
    channel, modem = rig({"AT+CPIN?": b"\r\n+CPIN: READY\r\n"})
    await channel.command(Command("AT+CPIN?", prefix="+CPIN:", ok_optional=True))
    modem.say_later(0.1, OK)
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]


async def test_a_secret_is_in_no_trace_and_no_error(rig: Rig) -> None:
    for echo in (False, True):
        channel, _ = rig({'AT^PIN="1234"': b"\r\n+CME ERROR: 16\r\n"}, echo=echo)
        with pytest.raises(AtCommandError) as refused:
            await channel.command(Command('AT^PIN="1234"', secret=True))
        assert "1234" not in str(refused.value) + str(channel.trace.lines())


@pytest.mark.parametrize("text", ["AT+X\r", "AT\n", "AT\x1a", "AT\x1b", "AT\x00", "", "CSQ", "AT" + "A" * 600, "ATé"])
def test_what_must_not_reach_a_port_is_no_command(text: str) -> None:
    with pytest.raises(AtArgumentError):
        Command(text)


# Unsolicited lines


async def test_a_urc_goes_to_the_handlers_of_its_longest_prefix_once(rig: Rig) -> None:
    channel, modem = rig()
    heard: list[str] = []
    channel.on_urc("+CPIN", lambda urc: heard.append("short"))
    channel.on_urc("+CPIN: NOT READY", lambda urc: heard.append("long"))
    channel.on_urc("+CPIN: NOT READY", lambda urc: heard.append("long too"))
    modem.say(b"\r\n+CPIN: NOT READY\r\n\r\n+CPIN: READY\r\n")
    await asyncio.sleep(0.1)
    assert heard == ["long", "long too", "short"]
    assert channel.strays == 0


async def test_a_urc_and_its_pdu_come_together_and_are_nobodys_answer(rig: Rig) -> None:
    channel, _ = rig({"AT+CGMI": b"\r\n+CMT: ,23\r\n0791AABBCCDDEEFF00\r\n\r\nQuectel\r\n" + OK})
    arrived: list[Urc] = []
    channel.on_urc("+CMT", arrived.append, following_lines=1)
    assert (await channel.command(MAKER)).lines == ["Quectel"]
    assert arrived == [Urc("+CMT: ,23", ("0791AABBCCDDEEFF00",))]


async def test_a_pdu_that_nobody_listens_for_is_still_not_an_answer(rig: Rig) -> None:
    channel, _ = rig({"AT+CGMI": b"\r\n+CDS: 23\r\n0791AABBCCDDEEFF00\r\n\r\nQuectel\r\n" + OK})
    assert (await channel.command(MAKER)).lines == ["Quectel"]


async def test_a_lost_pdu_line_does_not_take_a_later_answer(rig: Rig) -> None:
    channel, modem = rig({"AT+CMGR=1": b"\r\n+CMGR: 0,,23\r\n07913306091000F0040B\r\n" + OK})
    channel.on_urc("+CMT:", lambda urc: None, following_lines=1)
    modem.say(b"\r\n+CMT: ,23\r\n")
    await asyncio.sleep(timeouts.URC_BODY + 1)
    assert len((await channel.command(Command("AT+CMGR=1", prefix="+CMGR:"))).lines) == 2


async def test_a_handler_that_fails_costs_nobody_a_line(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    channel, _ = rig({"AT+CSQ": b'\r\n+CMTI: "SM",1\r\n\r\n+CSQ: 20,99\r\n' + OK})
    heard: list[Urc] = []

    def fail(urc: Urc) -> None:
        raise ZeroDivisionError

    channel.on_urc("+CMTI:", fail)
    channel.on_urc("+CMTI:", heard.append)
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]
    assert len(heard) == 1
    assert "handler of an unsolicited line failed" in caplog.text


async def test_a_handler_may_take_itself_back_while_it_is_called(rig: Rig) -> None:
    channel, modem = rig()
    heard: list[str] = []
    removers: list[Callable[[], None]] = []

    def once(urc: Urc) -> None:
        heard.append("once")
        removers[0]()

    removers.append(channel.on_urc("RING", once))
    channel.on_urc("RING", lambda urc: heard.append("always"))
    modem.say(b"\r\nRING\r\n\r\nRING\r\n")
    await asyncio.sleep(0.1)
    assert heard == ["once", "always", "always"]


async def test_a_handler_may_ask_at_once(rig: Rig) -> None:
    channel, modem = rig()
    asked: list[asyncio.Task[object]] = []
    channel.on_urc("+CMTI:", lambda urc: asked.append(asyncio.create_task(channel.command(SIGNAL))))
    modem.say(b'\r\n+CMTI: "SM",1\r\n')
    await asyncio.sleep(0.1)
    assert len(await asyncio.gather(*asked)) == 1


async def test_a_urc_stuck_to_an_ok(rig: Rig) -> None:
    channel, _ = rig({"AT+CSQ": b'\r\n+CSQ: 20,99\r\n\r\nOK+CMTI: "SM",1\r\n'})
    heard: list[Urc] = []
    channel.on_urc("+CMTI:", heard.append)
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]
    assert heard == [Urc('+CMTI: "SM",1')]


async def test_lines_that_are_nobodys_are_counted_and_traced(rig: Rig) -> None:
    channel, modem = rig()
    modem.say(b"\r\nwho is this\r\n\r\nOK\r\n\r\nERROR\r\n")
    await asyncio.sleep(0.1)
    assert channel.strays == 3
    assert [line.text for line in channel.trace.lines()] == ["who is this", "OK", "ERROR"]


ANSWER = b"\r\n+CSQ: 20,99\r\n\r\nOK\r\n"


@pytest.mark.parametrize("at", range(len(ANSWER) + 1))
async def test_a_urc_in_the_middle_of_an_answer(rig: Rig, at: int) -> None:
    channel, _ = rig({"AT+CSQ": ANSWER[:at] + b'\r\n+CMTI: "SM",1\r\n' + ANSWER[at:]})
    heard: list[Urc] = []
    channel.on_urc("+CMTI:", heard.append)
    assert (await channel.command(SIGNAL)).value("+CSQ") in ("20,99", "20,9")
    assert heard == [Urc('+CMTI: "SM",1')]


async def test_a_urc_between_all_bytes_of_an_answer(rig: Rig) -> None:
    channel, _ = rig({"AT+CSQ": b"\r\n^RSSI: 1\r\n".join(byte_by_byte(ANSWER))})
    assert (await channel.command(SIGNAL)).lines == ["+CSQ:20,99"]


# Silence


async def test_silence_is_a_timeout_with_its_hint(rig: Rig) -> None:
    loop = asyncio.get_running_loop()
    channel, _ = rig({"AT+CSQ": None})
    started = loop.time()
    with pytest.raises(AtTimeout) as silence:
        await channel.command(Command("AT+CSQ", timeout=7))
    assert loop.time() - started == pytest.approx(7)
    assert "AT+CSQ" in str(silence.value)
    assert silence.value.hint


@pytest.mark.parametrize("notice", [b"RDY", b"^SYSSTART", b"SMS Ready", b"Call Ready", b"NORMAL POWER DOWN"])
async def test_a_restart_ends_the_command_in_flight_after_its_grace(rig: Rig, looptime: float, notice: bytes) -> None:
    channel, modem = rig({"AT+CPMS=?": None})
    began = asyncio.get_running_loop().time()
    asyncio.get_running_loop().call_later(1.0, modem.say, b"\r\n" + notice + b"\r\n")
    with pytest.raises(AtTimeout, match="the modem restarted instead of answering"):
        await channel.command(Command("AT+CPMS=?", prefix="+CPMS", timeout=timeouts.SIM))
    assert asyncio.get_running_loop().time() - began == pytest.approx(1.0 + timeouts.REBOOT_GRACE, abs=0.1)
    assert (await channel.command(SIGNAL)).value("+CSQ") == "20,99"


async def test_a_restart_does_not_lengthen_a_deadline_and_is_no_silence(rig: Rig) -> None:
    channel, modem = rig({"AT+CGMI": None})
    loop = asyncio.get_running_loop()
    began = loop.time()
    for count in range(2 * 3):
        loop.call_later(4.0, modem.say, b"\r\nRDY\r\n")
        with pytest.raises(AtTimeout, match="restarted"):
            await channel.command(Command("AT+CGMI", timeout=timeouts.COMMAND))
        if not count:
            assert loop.time() - began == pytest.approx(timeouts.COMMAND)
    assert not channel.is_closed, "a modem that restarts is there"


async def test_a_boot_notice_that_is_late_news_cuts_no_answer(rig: Rig) -> None:
    """`SMS Ready` comes long after the start on some modems; a listing at 9600 Bd goes on behind it."""
    channel, modem = rig({"AT+CMGL=4": None})
    loop = asyncio.get_running_loop()
    loop.call_later(1.0, modem.say, b"\r\nSMS Ready\r\n\r\n+CMGL: 1,1,,23\r\n07913306091000F0040B\r\n")
    loop.call_later(8.0, modem.say, b"\r\n+CMGL: 2,1,,23\r\n07913306091000F0040B\r\n" + OK)
    answer = await channel.command(Command("AT+CMGL=4", prefix="+CMGL", timeout=timeouts.STORAGE))
    assert len(answer.lines) == 4


async def test_half_a_line_then_silence(rig: Rig) -> None:
    channel, modem = rig({"AT+CSQ": b"\r\n+CSQ: 2"})
    with pytest.raises(AtTimeout):
        await channel.command(SIGNAL)
    modem.answers["AT+CSQ"] = b"\r\n+CSQ: 31,99\r\n" + OK
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 31,99"]


async def test_three_silences_in_a_row_end_the_connection(rig: Rig) -> None:
    channel, _modem = rig({"AT+X": None})
    for _ in range(3):
        with pytest.raises(AtTimeout):
            await channel.command(Command("AT+X"))
    assert channel.is_closed
    assert isinstance(await channel.wait_lost(), AtTimeout)
    with pytest.raises(PortLost):
        await channel.command(SIGNAL)


async def test_an_answer_in_between_starts_the_count_anew(rig: Rig) -> None:
    channel, _ = rig({"AT+X": None})
    for _ in range(4):
        with pytest.raises(AtTimeout):
            await channel.command(Command("AT+X"))
        await channel.command(SIGNAL)
    assert not channel.is_closed


async def test_a_modem_that_is_dead_after_a_silence_ends_the_connection(rig: Rig) -> None:
    channel, _ = rig({"AT+CSQ": None, "AT": None})
    with pytest.raises(AtTimeout):
        await channel.command(SIGNAL)
    with pytest.raises(AtTimeout):
        await channel.command(SIGNAL)
    assert channel.is_closed


# A late answer is never the answer to the next command

MOMENTS = [round(0.01 * step, 3) for step in range(1, 55)]  # it takes 0.55 s with this modem


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("late", [OK, b"\r\nERROR\r\n", b"\r\n+CSQ: 1,1\r\n" + OK])
async def test_a_late_answer_at_any_moment_of_the_resync_out_of_order(rig: Rig, moment: float, late: bytes) -> None:
    """The worst modem: its late answer falls between any two lines, whatever was asked meanwhile."""
    loop = asyncio.get_running_loop()
    asked_at: list[float] = []

    def answer() -> None:
        asked_at.append(loop.time())
        modem.say(b"\r\n+NEXT: right\r\n" + OK)

    channel, modem = rig({"AT+SLOW": None, "AT+NEXT": answer})
    speak_slowly(modem, 0.05)
    with pytest.raises(AtTimeout):
        await channel.command(Command("AT+SLOW"))
    came = loop.time() + moment
    loop.call_at(came, modem.end.write, late)
    response = await channel.command(Command("AT+NEXT", prefix="+NEXT:"))
    assert asked_at[0] > came  # behind the resync nobody could tell it from the right one
    assert response.lines == ["+NEXT: right"]
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]


@pytest.mark.parametrize("busy", [0.01, 0.1, 0.19, 0.21, 0.3, 0.5, 0.7, 0.9, 1.2, 1.6, 2.1])
@pytest.mark.parametrize("slow", ["AT+SLOW", "AT+CMEE?", "AT+CSQ"])
@pytest.mark.parametrize("pace", [0.0, 0.05, 0.3, 0.45])
async def test_a_late_answer_of_a_modem_that_works_in_order(rig: Rig, busy: float, slow: str, pace: float) -> None:
    answers: dict[str, Answer] = {f"AT+{name}?": f"\r\n+{name}: 1\r\n".encode() + OK for name in ("CFUN", "CSCS")}
    channel, modem = rig({**answers, "AT+NEXT": b"\r\n+NEXT: right\r\n" + OK, "AT+SLOW": OK})
    in_order = speak_slowly(modem, pace)
    late = modem.answers[slow]

    def be_slow() -> None:
        modem.answers[slow] = late
        in_order(5 + busy)
        assert isinstance(late, bytes)
        modem.say(late)

    modem.answers[slow] = be_slow
    with pytest.raises(AtTimeout):
        await channel.command(Command(slow, timeout=5))
    for _ in range(3):
        assert (await channel.command(Command("AT+NEXT", prefix="+NEXT:"))).lines == ["+NEXT: right"]


async def test_a_modem_that_knows_no_marker_is_used_all_the_same(rig: Rig) -> None:
    channel, _ = rig(
        {"AT+SLOW": None, "AT+CMEE?": OK, "AT+CSQ": OK, "AT+CFUN?": OK, "AT+CSCS?": OK, "AT+NEXT": b"\r\nhere\r\n" + OK}
    )
    with pytest.raises(AtTimeout):
        await channel.command(Command("AT+SLOW"))
    assert (await channel.command(Command("AT+NEXT"))).lines == ["here"]


async def test_a_cancelled_command_does_not_give_its_answer_to_the_next(rig: Rig) -> None:
    channel, modem = rig({"AT+SLOW": None, "AT+NEXT": b"\r\n+NEXT: right\r\n" + OK})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await channel.command(Command("AT+SLOW"))
    modem.say_later(0.1, OK)
    assert (await channel.command(Command("AT+NEXT", prefix="+NEXT:"))).lines == ["+NEXT: right"]


async def test_cancelled_while_it_waits_its_turn_it_is_never_written(rig: Rig) -> None:
    channel, modem = rig({"AT+SLOW": None})
    slow = asyncio.create_task(channel.command(Command("AT+SLOW")))
    waiting = asyncio.create_task(channel.command(SIGNAL))
    await asyncio.sleep(1)
    waiting.cancel()
    modem.say(OK)
    await slow
    assert modem.commands == ["AT+SLOW"]


# A turn for several commands


async def test_nobody_comes_between_the_commands_of_one_turn(rig: Rig) -> None:
    channel, modem = rig({"AT+CGMI": OK})
    async with channel.turn() as turn:
        other = asyncio.create_task(channel.command(MAKER))
        await asyncio.sleep(1)
        for _ in range(3):
            assert (await turn.command(SIGNAL)).lines == ["+CSQ: 20,99"]
            await asyncio.sleep(1)
        assert not other.done()
    await other
    assert modem.commands == ["AT+CSQ"] * 3 + ["AT+CGMI"]
    with pytest.raises(RuntimeError, match="over"):
        await turn.command(SIGNAL)
    assert len(modem.commands) == 4


async def test_a_late_answer_is_not_the_next_ones_within_a_turn_either(rig: Rig) -> None:
    channel, modem = rig({"AT+SLOW": None})
    modem.answers["AT+SLOW"] = lambda: modem.say_later(1.2, b"\r\n+CSQ: 1,1\r\n" + OK)
    async with channel.turn() as turn:
        with pytest.raises(AtTimeout):
            await turn.command(Command("AT+SLOW", timeout=1.0))
        assert (await turn.command(SIGNAL)).lines == ["+CSQ: 20,99"]
    assert modem.commands[:2] == ["AT+SLOW", "AT"], "no resync before the next command"
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]


async def test_a_turn_ends_with_what_goes_wrong_in_it(rig: Rig) -> None:
    channel, modem = rig({"AT+NO": b"\r\nERROR\r\n", "AT+SLOW": None})
    with pytest.raises(AtCommandError):
        async with channel.turn() as turn:
            await turn.command(Command("AT+NO"))
    held = asyncio.create_task(_hold(channel, Command("AT+SLOW")))
    waiting = asyncio.create_task(_hold(channel, SIGNAL))
    await asyncio.sleep(1)
    held.cancel()
    waiting.cancel()
    await asyncio.wait({held, waiting})
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]
    modem.end.unplug()
    await channel.wait_lost()
    with pytest.raises(PortLost):
        await _hold(channel, SIGNAL)


async def _hold(channel: AtChannel, command: Command) -> None:
    async with channel.turn() as turn:
        await turn.command(command)


async def test_resync_takes_a_stale_prompt_away_with_esc(rig: Rig) -> None:
    channel, modem = rig()
    modem.at_prompt = True  # a killed process left it
    await channel.resync()
    assert (modem.at_prompt, modem.pdus) == (False, [])
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]


async def test_resync_of_a_modem_that_still_finds_its_baud_rate(rig: Rig) -> None:
    channel, modem = rig({"AT": None})
    loop = asyncio.get_running_loop()
    loop.call_later(1.3, modem.answers.__setitem__, "AT", OK)
    await channel.resync()
    assert modem.commands.count("AT") >= 3
    assert not channel.is_closed


async def test_resync_through_a_flood_of_urcs(rig: Rig) -> None:
    channel, modem = rig()
    for step in range(300):
        modem.say_later(step * 0.05, b"\r\n^RSSI: 20\r\n")
    await channel.resync()
    assert (await channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]


# The end


async def test_a_lost_port_ends_the_command_in_flight_and_those_that_wait(rig: Rig) -> None:
    channel, modem = rig({"AT+SLOW": None})
    asked = [asyncio.create_task(channel.command(Command("AT+SLOW"))) for _ in range(3)]
    await asyncio.sleep(1)
    modem.end.unplug()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [PortLost] * 3
    assert isinstance(await channel.wait_lost(), PortLost)


async def test_close_is_idempotent_and_ends_what_waits(rig: Rig) -> None:
    channel, _ = rig({"AT+SLOW": None})
    asked = asyncio.create_task(channel.command(Command("AT+SLOW")))
    await asyncio.sleep(1)
    assert await channel.close()
    assert await channel.close()
    with pytest.raises(PortLost):
        await asked


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
@settings(max_examples=examples(100), suppress_health_check=list(HealthCheck), deadline=None)
def test_any_noise_around_an_answer_neither_hangs_nor_raises(noise: list[bytes], echo: bool) -> None:
    async def run() -> None:
        near, far = loopback()
        modem = ScriptedModem(far, {"AT+CSQ": b"".join([*noise, ANSWER])}, echo=echo)
        far.attach(modem)
        channel = AtChannel.attach(near)
        async with asyncio.timeout(NO_HANG):
            try:
                await channel.command(Command("AT+CSQ", prefix="+CSQ:", timeout=0.05))
            except (AtCommandError, AtTimeout):
                pass
            await channel.close()

    asyncio.run(run())


def speak_slowly(modem: ScriptedModem, pace: float) -> Callable[[float], None]:
    """The modem says a line each `pace` seconds, in order; the function that is returned makes it think longer."""
    speak = modem.say
    loop = asyncio.get_running_loop()
    free_at = loop.time()

    def think(seconds: float) -> None:
        nonlocal free_at
        free_at = max(free_at, loop.time()) + seconds

    def say(data: bytes) -> None:
        for line in data.replace(b"\r\n\r\n", b"\r\n|\r\n").split(b"|"):
            think(pace)
            loop.call_at(free_at, speak, line)

    modem.say = say  # type: ignore[method-assign]
    return think
