"""Ring 3: the USSD dialogue over a loopback, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from hardware.at.channel import AtChannel
from hardware.errors import ModemError
from hardware.modem import timeouts
from hardware.modem.life import Life
from hardware.modem.profile import Profile
from hardware.modem.ussd import Ussd, UssdAnswer, UssdError, UssdState
from hardware.modem.ussd_codes import UssdCodes
from hardware.pdu import SubmitRequest, cbs, encode
from hardware.transport import loopback
from hardware.types import ModemStatus, SendOutcome, SendResult
from tests.support.modem_rig import Listener, allowed
from tests.support.scripted_modem import OK, PROMPT, Answer, ScriptedModem, byte_by_byte, whole

pytestmark = pytest.mark.looptime

PLAIN = Profile("plain")
HUAWEI = Profile("huawei", ussd="packed")
SIM800 = Profile("sim800", ussd_alone=True)
CHARSET = {"AT+CSCS?": b'\r\n+CSCS: "IRA"\r\n' + OK, "AT+CUSD=2": OK}
PART = encode(SubmitRequest("+36301234567", text="hello"))


class Bench:
    """One `Ussd` on a scripted modem; `says` is what the network answers to a code or a reply, after a second."""

    def __init__(self, profile: Profile = PLAIN, **answers: Answer) -> None:
        near, far = loopback()
        self.modem = ScriptedModem(far, {**CHARSET, **answers})
        far.attach(self.modem)
        self.channel = AtChannel.attach(near)
        self.listener = Listener()
        self.life = Life(ModemStatus("stick"), self.listener)
        self.ussd = Ussd(self.channel, self.life, codes=UssdCodes(["*102*{digits}#"]))
        self.channel.on_urc("+CUSD:", self.ussd.heard)
        self.ussd.begin(profile)
        self.runner = asyncio.create_task(self.ussd.run())

    def says(self, text: str, *notices: str, after: float = 1.0, dcs: int = 15) -> None:
        def answer() -> None:
            self.modem.say(OK)
            for number, notice in enumerate(notices):
                self.modem.say_later(after * (number + 1), f"\r\n{notice}\r\n".encode("latin-1"))

        self.modem.answers[f'AT+CUSD=1,"{text}",{dcs}'] = answer

    def notice(self, text: str) -> None:
        self.modem.say(f"\r\n{text}\r\n".encode("latin-1"))

    async def send(self) -> SendResult:
        """A message, as the session sends it."""
        await self.ussd.give_way()
        return await self.channel.send_pdu(PART.lengths[0], PART.pdus[0], allowed)

    @property
    def written(self) -> list[str]:
        """Without what precedes the first code of a connection: the character set, the end of an older session."""
        lines = [line for line in self.modem.commands if line != "AT+CSCS?"]
        return lines[1:] if lines[:1] == ["AT+CUSD=2"] and len(lines) > 1 else lines

    async def close(self) -> None:
        self.runner.cancel()
        with suppress(asyncio.CancelledError):
            await self.runner
        self.life.close()
        await self.channel.close()
        self.modem.check()


Make = Callable[..., Bench]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Bench] = []

    def build(*args: Any, **answers: Answer) -> Bench:
        made.append(Bench(*args, **answers))
        return made[-1]

    yield build
    for one in made:
        await one.close()


async def took(work: Awaitable[Any]) -> tuple[Any, float]:
    """What came of `work`, its error too, and the virtual seconds it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        result: Any = await work
    except ModemError as error:
        result = error
    return result, loop.time() - began


async def settled(it: Bench) -> None:
    """The session is closed."""
    async with asyncio.timeout(5):
        while it.ussd.state is not UssdState.IDLE:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_code_and_its_answer(make: Make) -> None:
    it = make()
    it.says("*100#", '+CUSD: 0,"Balance: 12.50 EUR",15')
    assert await it.ussd.ask("*100#") == UssdAnswer("Balance: 12.50 EUR", False)
    await settled(it)
    assert it.written == ['AT+CUSD=1,"*100#",15', "AT+CUSD=2"]


async def test_an_answer_that_comes_before_the_ok(make: Make) -> None:
    it = make()
    it.modem.answers['AT+CUSD=1,"*100#",15'] = b'\r\n+CUSD: 0,"quick",15\r\n' + OK
    assert (await it.ussd.ask("*100#")).text == "quick"


async def test_a_session_that_an_earlier_connection_left_open_is_closed_first(make: Make) -> None:
    it = make()
    it.says("*100#", '+CUSD: 0,"Balance",15')
    await it.ussd.ask("*100#")
    await settled(it)
    await it.ussd.ask("*100#")
    assert it.modem.commands == ["AT+CSCS?", "AT+CUSD=2", *(['AT+CUSD=1,"*100#",15', "AT+CUSD=2"] * 2)][:-1]


async def test_a_menu_of_several_lines_and_levels(make: Make) -> None:
    it = make()
    it.says("*111#", '+CUSD: 1,"Menu\r\n1 Balance\r\n\r\nOK\r\n0 Back",15')
    it.says("1", '+CUSD: 1,"Pick\n9 more",15')
    it.says("9", '+CUSD: 2,"12.50 EUR",15')
    assert await it.ussd.ask("*111#") == UssdAnswer("Menu\n1 Balance\nOK\n0 Back", True)
    assert it.ussd.state is UssdState.OPEN
    assert await it.ussd.reply("1") == UssdAnswer("Pick\n9 more", True)
    assert await it.ussd.reply("9") == UssdAnswer("12.50 EUR", False)
    await settled(it)
    assert it.written[-2:] == ['AT+CUSD=1,"9",15', "AT+CUSD=2"]
    with pytest.raises(UssdError, match="no USSD menu is open"):
        await it.ussd.reply("1")


async def test_huawei_wants_and_sends_packed_hex(make: Make) -> None:
    it = make(HUAWEI)
    menu = cbs.encode_packed("1 Balance, 2 Data").hex().upper()
    it.says("AA180C3602", f'+CUSD: 1,"{menu}",15')
    it.says("31", '+CUSD: 0,"0031003500300020004600740151",72')
    assert await it.ussd.ask("*100#") == UssdAnswer("1 Balance, 2 Data", True)
    assert await it.ussd.reply("1") == UssdAnswer("150 Ftő", False)
    assert "AT+CSCS?" not in it.modem.commands


@pytest.mark.parametrize(
    ("notice", "words"),
    [
        ("+CUSD: 2", "the network ended the USSD"),
        ('+CUSD: 2,"",0', "the network ended the USSD"),
        ("+CUSD: 3", "another program"),
        ("+CUSD: 4", "does not know this USSD code"),
        ("+CUSD: 5", "did not answer the USSD in time"),
    ],
)
async def test_what_the_network_refuses_is_a_sentence(make: Make, notice: str, words: str) -> None:
    it = make()
    it.says("*100#", notice, after=3.0)
    error, seconds = await took(it.ussd.ask("*100#"))
    assert words in str(error)
    assert error.hint
    assert seconds < 5
    await settled(it)
    assert it.written[-1] == "AT+CUSD=2"


async def test_nothing_in_an_answer_is_no_error(make: Make) -> None:
    it = make()
    it.says("*100#", "+CUSD: 0")
    assert await it.ussd.ask("*100#") == UssdAnswer(None, False)


@pytest.mark.parametrize(
    ("final", "words"),
    [
        (b"\r\n+CME ERROR: 30\r\n", "the modem refused the USSD: No network service"),
        (b"\r\nERROR\r\n", "the modem refused the USSD"),
        (b"\r\n+CME ERROR: SIM busy\r\n", "SIM busy"),
    ],
)
async def test_what_the_modem_refuses_is_a_sentence(make: Make, final: bytes, words: str) -> None:
    it = make()
    it.modem.answers['AT+CUSD=1,"*100#",15'] = final
    error, _ = await took(it.ussd.ask("*100#"))
    assert words.lower() in str(error).lower()
    await settled(it)
    it.says("*100#", '+CUSD: 0,"Balance",15')
    assert (await it.ussd.ask("*100#")).text == "Balance", "nothing is owed"


async def test_silence_is_a_sentence_and_its_late_answer_nobody_elses(make: Make) -> None:
    it = make()
    it.says("*100#", '+CUSD: 0,"late",15', after=timeouts.USSD_ANSWER + 10)
    it.says("*101#", '+CUSD: 0,"right",15')
    error, seconds = await took(it.ussd.ask("*100#"))
    assert "did not answer the USSD within 45 s" in str(error)
    assert seconds == pytest.approx(timeouts.USSD_ANSWER, abs=1)
    error, _ = await took(it.ussd.ask("*101#"))
    assert "late answer" in str(error)
    assert "try again in 30 s" in error.hint
    await asyncio.sleep(timeouts.USSD_LATE)
    assert it.listener.events == [("ussd_received", {"text": "late"})]
    assert (await it.ussd.ask("*101#")).text == "right"


async def test_the_end_of_the_last_session_is_not_the_end_of_the_next(make: Make) -> None:
    it = make()
    it.modem.answers["AT+CUSD=2"] = lambda: (it.modem.say(OK), it.modem.say_later(0.5, b"\r\n+CUSD: 2\r\n"))[0]
    it.says("*100#", '+CUSD: 0,"one",15', after=1.0)
    assert (await it.ussd.ask("*100#")).text == "one"
    assert (await it.ussd.ask("*100#")).text == "one"
    await settled(it)


async def test_only_one_question_at_a_time(make: Make) -> None:
    it = make()
    it.says("*100#", '+CUSD: 0,"one",15')
    first = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(0.1)
    with pytest.raises(UssdError, match="another USSD is under way"):
        await it.ussd.ask("*101#")
    assert (await first).text == "one"


@pytest.mark.parametrize("code", ["", "*100", "**21*36301234567#", "*100#\r", "AT+CMGD=1", "*140*1*2#", "*100# ", "ű"])
async def test_what_may_not_be_sent_never_reaches_the_port(make: Make, code: str) -> None:
    it = make()
    with pytest.raises(UssdError):
        await it.ussd.ask(code)
    assert it.modem.commands == []


@pytest.mark.parametrize("text", ["", " ", "1\r", "1\x1a", "1\n2", "x" * 161, "**21*36301234567#", '1"', "ő", "1;2"])
async def test_what_may_not_be_replied_never_reaches_the_port(make: Make, text: str) -> None:
    it = make()
    it.says("*102*1#", '+CUSD: 1,"Menu",15')
    assert (await it.ussd.ask("*102*1#")).open
    count = len(it.modem.commands)
    with pytest.raises(UssdError):
        await it.ussd.reply(text)
    assert len(it.modem.commands) == count
    assert it.ussd.state is UssdState.OPEN, "the menu is still there for a better reply"


async def test_a_menu_that_nobody_answers_is_closed(make: Make) -> None:
    it = make()
    it.says("*111#", '+CUSD: 1,"Menu",15')
    await it.ussd.ask("*111#")
    await asyncio.sleep(timeouts.USSD_IDLE - 1)
    assert it.ussd.state is UssdState.OPEN
    await asyncio.sleep(2)
    assert it.ussd.state is UssdState.IDLE
    assert it.written[-1] == "AT+CUSD=2"


async def test_a_menu_that_the_network_closes_takes_no_reply(make: Make) -> None:
    it = make()
    it.says("*111#", '+CUSD: 1,"Menu",15', "+CUSD: 2")
    await it.ussd.ask("*111#")
    await asyncio.sleep(2)
    with pytest.raises(UssdError, match="no USSD menu is open"):
        await it.ussd.reply("1")
    assert it.written == ['AT+CUSD=1,"*111#",15', "AT+CUSD=2"]


async def test_a_code_ends_the_menu_that_is_open(make: Make) -> None:
    it = make()
    it.says("*111#", '+CUSD: 1,"Menu",15')
    it.says("*100#", '+CUSD: 0,"Balance",15')
    await it.ussd.ask("*111#")
    assert (await it.ussd.ask("*100#")).text == "Balance"
    await settled(it)
    assert it.written == ['AT+CUSD=1,"*111#",15', "AT+CUSD=2", 'AT+CUSD=1,"*100#",15', "AT+CUSD=2"]


async def test_cancelling_a_menu_and_a_wait(make: Make) -> None:
    it = make()
    assert not await it.ussd.cancel()
    it.says("*111#", '+CUSD: 1,"Menu",15')
    await it.ussd.ask("*111#")
    assert await it.ussd.cancel()
    await settled(it)
    it.says("*100#")
    wait = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(1)
    assert await it.ussd.cancel()
    with pytest.raises(UssdError, match="cancelled"):
        await wait
    await settled(it)
    assert it.written[-2:] == ['AT+CUSD=1,"*100#",15', "AT+CUSD=2"]
    it.notice('+CUSD: 0,"the answer to what was cancelled",15')
    with pytest.raises(UssdError, match="late answer"):
        await it.ussd.ask("*100#")


async def test_a_caller_that_is_cancelled_leaves_no_session_open(make: Make) -> None:
    it = make()
    it.says("*100#")
    wait = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(1)
    wait.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wait
    await settled(it)
    assert it.written[-1] == "AT+CUSD=2"


async def test_what_nobody_asked_for_is_an_event_and_its_session_is_closed(make: Make) -> None:
    it = make()
    it.notice('+CUSD: 0,"You have a voice mail",15')
    it.notice('+CUSD: 1,"Play a game?\r\n1 Yes",15')
    await asyncio.sleep(1)
    assert it.listener.events == [
        ("ussd_received", {"text": "You have a voice mail"}),
        ("ussd_received", {"text": "Play a game?\n1 Yes"}),
    ]
    await settled(it)
    assert it.written == ["AT+CUSD=2"]


async def test_a_message_goes_out_while_the_network_thinks(make: Make) -> None:
    it = make()
    it.says("*100#", '+CUSD: 0,"Balance",15', after=20.0)
    wait = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(1)
    result, seconds = await took(it.send())
    assert result.outcome is SendOutcome.SENT
    assert seconds < 0.5
    assert not wait.done()
    assert (await wait).text == "Balance"


async def test_an_answer_within_a_send_is_the_answer_and_not_the_sends_end(make: Make) -> None:
    it = make()
    it.says("*100#", '+CUSD: 0,"Menu\r\nOK\r\nERROR\r\nthe end",15', after=2.0)
    it.modem.pdu_answer = lambda: it.modem.say_later(5.0, b"\r\n+CMGS: 9\r\n" + OK)
    wait = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(1)
    result, _ = await took(it.send())
    assert (result.outcome, result.mr) == (SendOutcome.SENT, 9)
    assert (await wait).text == "Menu\nOK\nERROR\nthe end"


async def test_a_text_that_lost_its_end_costs_one_answer_and_no_more(make: Make) -> None:
    from hardware.at import commands
    from hardware.errors import AtTimeout

    it = make()
    it.notice('+CUSD: 0,"its end is lo')
    with pytest.raises(AtTimeout):
        await it.channel.command(commands.signal())
    assert (await it.channel.command(commands.signal())).value("+CSQ") == "20,99"
    assert (await it.send()).outcome is SendOutcome.SENT
    assert [name for name, _ in it.listener.events] == ["ussd_received"]


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
async def test_a_line_of_a_menu_is_no_prompt(make: Make, cut: Callable[[bytes], Iterator[bytes]]) -> None:
    it = make()
    it.modem.cut = cut
    text = b'\r\n+CUSD: 1,"Menu\r\n> 1 Balance\r\n>\r\nend",15\r\n'
    it.modem.answers["AT+CMGS"] = lambda: (it.modem.say(text), it.modem.say_later(3.0, PROMPT))[0]
    send = asyncio.create_task(it.send())
    await asyncio.sleep(2)
    assert it.modem.pdus == [], "the modem has not prompted yet"
    it.modem.at_prompt = True
    assert (await send).outcome is SendOutcome.SENT
    assert it.modem.pdus == [PART.pdus[0]]
    assert it.listener.events == [("ussd_received", {"text": "Menu\n> 1 Balance\n>\nend"})]
    await settled(it)


async def test_a_code_waits_for_the_result_of_a_send(make: Make) -> None:
    it = make()
    it.says("*100#", '+CUSD: 0,"Balance",15')
    it.modem.pdu_answer = lambda: it.modem.say_later(30.0, b"\r\n+CMGS: 9\r\n" + OK)
    send = asyncio.create_task(it.send())
    await asyncio.sleep(1)
    wait = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(10)
    assert not any("CUSD" in line for line in it.modem.commands)
    assert (await send).outcome is SendOutcome.SENT
    assert (await wait).text == "Balance"


async def test_a_cancelled_code_that_waited_for_a_send_is_never_sent(make: Make) -> None:
    it = make()
    it.modem.pdu_answer = lambda: it.modem.say_later(30.0, b"\r\n+CMGS: 9\r\n" + OK)
    send = asyncio.create_task(it.send())
    await asyncio.sleep(1)
    wait = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(1)
    assert await it.ussd.cancel()
    await send
    with pytest.raises(UssdError, match="cancelled"):
        await wait
    assert not any("CUSD=1" in line for line in it.modem.commands)


async def test_where_both_do_not_go_together_the_message_goes_first(make: Make) -> None:
    it = make(SIM800)
    it.says("*100#", '+CUSD: 0,"Balance",15', after=20.0)
    wait = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(1)
    result, seconds = await took(it.send())
    assert result.outcome is SendOutcome.SENT
    assert seconds < 0.5
    with pytest.raises(UssdError, match="given up for a message"):
        await wait
    assert it.written == ['AT+CUSD=1,"*100#",15', "AT+CUSD=2", f"AT+CMGS={PART.lengths[0]}"]


async def test_where_both_do_not_go_together_an_open_menu_is_closed_first(make: Make) -> None:
    it = make(SIM800)
    it.says("*111#", '+CUSD: 1,"Menu",15')
    await it.ussd.ask("*111#")
    assert (await it.send()).outcome is SendOutcome.SENT
    assert it.written == ['AT+CUSD=1,"*111#",15', "AT+CUSD=2", f"AT+CMGS={PART.lengths[0]}"]
    with pytest.raises(UssdError, match="no USSD menu is open"):
        await it.ussd.reply("1")


async def test_where_both_do_not_go_together_other_commands_wait_for_the_answer(make: Make) -> None:
    from hardware.at import commands

    it = make(SIM800)
    it.says("*100#", '+CUSD: 0,"Balance",15', after=5.0)
    wait = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(1)
    _, seconds = await took(it.channel.command(commands.signal()))
    assert seconds == pytest.approx(4.0, abs=0.5)
    assert (await wait).text == "Balance"


@pytest.mark.parametrize("profile", [PLAIN, SIM800])
async def test_a_restart_ends_the_wait(make: Make, profile: Profile) -> None:
    it = make(profile)
    it.says("*100#")
    wait = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(1)
    it.ussd.forget("the modem restarted (RDY)")
    with pytest.raises(UssdError, match="the modem restarted"):
        await wait
    it.says("*101#", '+CUSD: 0,"Balance",15')
    assert (await it.ussd.ask("*101#")).text == "Balance", "it owes nothing any more"


async def test_a_lost_port_ends_the_wait(make: Make) -> None:
    it = make()
    it.says("*100#")
    wait = asyncio.create_task(it.ussd.ask("*100#"))
    await asyncio.sleep(1)
    it.modem.end.unplug()
    it.ussd.forget("the connection is over")
    with pytest.raises(ModemError):
        await wait
    it.runner.cancel()


async def test_a_notice_that_makes_no_sense_is_let_pass(make: Make) -> None:
    it = make()
    it.says("*100#", "+CUSD: banana", '+CUSD: 0,"Balance",15')
    assert (await it.ussd.ask("*100#")).text == "Balance"
