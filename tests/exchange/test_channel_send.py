"""Ring 3: the dialogue of AT+CMGS, its certainty at each step, in virtual time (domain A3)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.at import timeouts
from hardware.at.channel import AtChannel, WritePacing
from hardware.at.types import Command, Urc
from hardware.errors import AtArgumentError, PortLost
from hardware.transport import LoopbackEnd, loopback
from hardware.types import Action, SendOutcome, SendResult
from tests.support.examples import NO_HANG, examples
from tests.support.scripted_modem import OK, Answer, ScriptedModem, byte_by_byte, whole

pytestmark = pytest.mark.looptime

SENT, NOT_SENT, UNKNOWN = SendOutcome.SENT, SendOutcome.NOT_SENT, SendOutcome.UNKNOWN
PDU = "0011000B916407281553F80000AA0AE8329BFD4697D9EC37"
LENGTH = 23
SIGNAL = Command("AT+CSQ", prefix="+CSQ:")
URC = b'\r\n+CMTI: "SM",1\r\n'
NO_ANSWERS: dict[str, Answer] = {"AT": None}


class Rig(NamedTuple):
    channel: AtChannel
    modem: ScriptedModem
    wire: LoopbackEnd
    late: list[tuple[object, SendResult]]


MakeRig = Callable[..., Rig]


@pytest.fixture
async def rig() -> AsyncIterator[MakeRig]:
    made: list[Rig] = []

    def make(answers: dict[str, Answer] | None = None, **options: object) -> Rig:
        near, far = loopback()
        modem = ScriptedModem(far, answers, **options)  # type: ignore[arg-type]
        far.attach(modem)
        made.append(Rig(AtChannel.attach(near), modem, near, []))
        made[-1].channel.on_late_result(lambda token, result: made[-1].late.append((token, result)))
        return made[-1]

    yield make
    for each in made:
        await each.channel.close()
        each.modem.check()


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


def after(seconds: float, answer: bool = True) -> Callable[[], object]:
    async def authorise() -> bool:
        await asyncio.sleep(seconds)
        return answer

    return authorise


async def send(rig: Rig, authorise: object = yes, **options: object) -> SendResult:
    return await rig.channel.send_pdu(LENGTH, PDU, authorise, token="a", **options)  # type: ignore[arg-type]


def code(result: SendResult) -> str | None:
    return None if result.error is None else result.error.code


# Sent


@pytest.mark.parametrize("cut", [whole, byte_by_byte])
@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize(
    "prompt",
    [b"\r\n> ", b"> ", b"\r\n>", b"\r\r\n> ", b"\x00\r\n\x00> ", URC + b"\r\n> ", b"\r\n> " + URC, b"\r\n> " + URC[2:]],
)
@pytest.mark.parametrize(
    "result",
    [
        b"\r\n+CMGS: 17\r\n\r\nOK\r\n",
        b"+CMGS: 17\r\nOK\r\n",
        b"\r\r\n+CMGS: 17\r\r\n\r\r\nOK\r\r\n",
        b'\r\n+CMGS: 17,"26/11/22,19:00:00+04"\r\n\r\nOK\r\n',
        URC + b"\r\n+CMGS: 17\r\n" + URC + b"\r\nOK\r\n" + URC,
        b"\x00\r\n+CM\x00GS: 17\r\n\r\nOK\r\n",
        b'\r\n+CMGS:17\r\nOK+CMTI: "SM",1\r\n',
    ],
)
async def test_a_part_is_sent(
    rig: MakeRig, result: bytes, prompt: bytes, echo: bool, cut: Callable[[bytes], Iterator[bytes]]
) -> None:
    one = rig(prompt=prompt, echo=echo, cut=cut)
    one.modem.pdu_answer = result
    heard: list[Urc] = []
    one.channel.on_urc("+CMTI:", heard.append)
    outcome = await send(one)
    assert (outcome.outcome, outcome.mr, outcome.error) == (SENT, 17, None)
    assert one.modem.pdus == [PDU]
    await asyncio.sleep(1)
    assert len(heard) == (prompt + result).count(b"+CMTI")
    assert (await one.channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]


async def test_the_commit_overlaps_the_wait_for_the_prompt_and_no_pdu_byte_is_written_before_both(rig: MakeRig) -> None:
    loop = asyncio.get_running_loop()
    one = rig({"AT+CMGS": lambda: prompt_after(one.modem, 2)})
    asked_when: list[bool] = []

    async def authorise() -> bool:
        asked_when.append(one.wire.written == [f"AT+CMGS={LENGTH}\r".encode()])
        await asyncio.sleep(3)
        return True

    started = loop.time()
    assert (await send(one, authorise)).outcome is SENT
    assert asked_when == [True]
    assert one.wire.written == [f"AT+CMGS={LENGTH}\r".encode(), PDU.encode() + b"\x1a"]  # one write
    assert one.wire.times[1] - started == pytest.approx(3, abs=0.1)
    assert loop.time() - started == pytest.approx(3, abs=0.1)


async def test_a_slow_result_is_one_submission_and_nothing_is_written_in_between(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = lambda: one.modem.say_later(135, b"\r\n+CMGS: 200\r\n" + OK)
    for second in range(1, 130, 7):
        one.modem.say_later(second, URC if second % 2 else b"\r\nRING\r\n")
    asking = asyncio.create_task(send(one))
    await asyncio.sleep(1)
    polling = asyncio.create_task(one.channel.command(SIGNAL))  # a poll waits its turn
    outcome = await asking
    assert (outcome.outcome, outcome.mr, len(one.modem.pdus)) == (SENT, 200, 1)
    assert outcome.seconds == pytest.approx(135, abs=1)
    await polling
    assert [time for time in one.wire.times if 1 < time - one.wire.times[0] < 134] == []


async def test_the_urcs_of_a_send_are_told_at_once(rig: MakeRig) -> None:
    loop = asyncio.get_running_loop()
    one = rig()

    def answer() -> None:
        one.modem.say_later(10, URC)
        one.modem.say_later(50, b"\r\n+CMGS: 1\r\n" + OK)

    one.modem.pdu_answer = answer
    times: list[float] = []
    one.channel.on_urc("+CMTI:", lambda urc: times.append(loop.time()))
    started = loop.time()
    assert (await send(one)).outcome is SENT
    assert times == [pytest.approx(started + 10, abs=0.5)]


async def test_a_lost_ok_does_not_unsend_a_part(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = b"\r\n+CMGS: 17\r\n"
    outcome = await send(one)
    assert (outcome.outcome, outcome.mr) == (SENT, 17)
    one.modem.say_later(0.1, OK)  # it comes in the end, and is nobody's answer
    assert (await one.channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]


async def test_a_reference_that_is_no_number_is_a_sent_part_without_one(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = b"\r\n+CMGS: 999\r\n" + OK
    assert await send(one) == SendResult(SENT, seconds=pytest.approx(0, abs=0.1))


RESULT = b"\r\n+CMGS: 17\r\n\r\nOK\r\n"


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("at", range(len(RESULT) + 1))
async def test_a_urc_between_any_two_bytes_of_the_result(rig: MakeRig, at: int, echo: bool) -> None:
    one = rig(echo=echo)
    one.modem.pdu_answer = RESULT[:at] + URC + RESULT[at:]
    outcome = await send(one)
    assert (outcome.outcome, outcome.mr) == (SENT, 17)


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize(
    "urc", [URC, b"\r\nRING\r\n", b"\r\n^RSSI: 21\r\n", b"\r\n+CDS: 24\r\n0006D60B916407281553F8\r\n"]
)
async def test_a_urc_between_any_two_bytes_of_the_prompt(rig: MakeRig, at: int, urc: bytes) -> None:
    one = rig(prompt=b"\r\n> "[:at] + urc + b"\r\n> "[at:])
    outcome = await send(one)
    assert (outcome.outcome, outcome.mr, one.modem.pdus) == (SENT, 17, [PDU])


@pytest.mark.parametrize("urc", [URC, b"\r\n^RSSI: 21\r\n"])
async def test_a_urc_between_all_bytes_of_prompt_and_result(rig: MakeRig, urc: bytes) -> None:
    one = rig(prompt=urc.join(byte_by_byte(b"\r\n> ")))
    one.modem.pdu_answer = urc.join(byte_by_byte(RESULT))
    outcome = await send(one)
    assert (outcome.outcome, outcome.mr) == (SENT, 17)


@pytest.mark.parametrize("refusal", [b"\r\n+CMS ERROR: 500\r\n", b"\r\n+CMS ERROR: 38\r\n", b"\r\n+CMS ERROR: 332\r\n"])
async def test_a_urc_in_the_middle_of_a_refusal_does_not_make_another_one_of_it(rig: MakeRig, refusal: bytes) -> None:
    """500 may have been sent, 50 was refused: half a number must not decide."""
    for at in range(len(refusal) + 1):
        one = rig()
        one.modem.pdu_answer = refusal[:at] + URC + refusal[at:]
        number = refusal.split()[-1].decode()
        outcome = await send(one, result_timeout=20)
        assert code(outcome) in (f"cms_{number}", "error", "timeout")
        assert code(outcome) == f"cms_{number}" or outcome.outcome is UNKNOWN


@pytest.mark.parametrize("wrap", [b"\r\n> ", b"\r\n", b"\r\n>"])
async def test_the_echo_of_the_pdu_wrapped_by_the_modem_is_no_prompt(rig: MakeRig, wrap: bytes) -> None:
    one = rig()
    one.modem.pdu_answer = b"\r\n> " + PDU[:20].encode() + wrap + PDU[20:].encode() + b"\x1a" + RESULT
    outcome = await send(one)
    assert (outcome.outcome, outcome.mr) == (SENT, 17)
    assert len(one.wire.written) == 2


async def test_a_pdu_in_chunks_for_a_slow_modem(rig: MakeRig) -> None:
    loop = asyncio.get_running_loop()
    one = rig()
    one.channel.pacing = WritePacing(delay=0.1, chunk=18, chunk_delay=0.05)
    started = loop.time()
    assert (await send(one)).outcome is SENT
    assert one.modem.pdus == [PDU]
    assert [len(data) for data in one.wire.written[1:]] == [18, 18, len(PDU) - 36 + 1]
    assert loop.time() - started == pytest.approx(0.2, abs=0.05)


# Not sent: before Ctrl-Z


@pytest.mark.parametrize(
    ("answer", "name", "action"),
    [
        (b"\r\n+CMS ERROR: 332\r\n", "cms_332", Action.RETRY_SAME),
        (b"\r\n+CMS ERROR: 500\r\n", "cms_500", Action.RETRY_SAME),
        (b"\r\n+CMS ERROR: SIM busy\r\n", "cms_314", Action.RETRY_SAME),
        (b"\r\n+CMS ERROR: 38\r\n", "cms_38", Action.RETRY_OTHER),
        (b"\r\n+CME ERROR: 10\r\n", "cme_10", Action.SIM_FAULT),
        (b"\r\nERROR\r\n", "error", Action.RETRY_SAME),
        (b"\r\nCOMMAND NOT SUPPORT\r\n", "error", Action.RETRY_SAME),
    ],
)
async def test_an_error_before_the_prompt_is_not_sent(rig: MakeRig, answer: bytes, name: str, action: Action) -> None:
    one = rig({"AT+CMGS": answer})
    outcome = await send(one)
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code, outcome.error.action) == (NOT_SENT, name, action)
    assert one.modem.pdus == []
    assert one.wire.written == [f"AT+CMGS={LENGTH}\r".encode()]


async def test_no_prompt_is_not_sent_and_cleared_with_esc_never_ctrl_z(rig: MakeRig) -> None:
    loop = asyncio.get_running_loop()
    one = rig({"AT+CMGS": lambda: None})
    started = loop.time()
    outcome = await send(one)
    assert (outcome.outcome, code(outcome)) == (NOT_SENT, "prompt_timeout")
    assert loop.time() - started == pytest.approx(timeouts.PROMPT)
    assert one.wire.written[-1] == b"\x1b\r"
    assert (await one.channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]
    assert not any(b"\x1a" in data for data in one.wire.written)


@pytest.mark.parametrize("moment", [0.05, 0.15, 0.25, 1, 5])
async def test_a_prompt_that_comes_too_late_is_taken_away(rig: MakeRig, moment: float) -> None:
    one = rig({"AT+CMGS": lambda: prompt_after(one.modem, timeouts.PROMPT + moment)})
    assert code(await send(one)) == "prompt_timeout"
    await asyncio.sleep(moment / 2)
    one.modem.answers["AT+CMGS"] = None
    outcome = await send(one)
    assert outcome.outcome is SENT
    assert one.modem.pdus == [PDU]
    assert (await one.channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]


async def test_an_ok_instead_of_a_prompt_is_somebody_elses(rig: MakeRig) -> None:
    one = rig(prompt=b"\r\nOK\r\n\r\n> ")
    assert (await send(one)).outcome is SENT


async def test_what_is_not_authorised_is_not_sent_and_the_prompt_is_cleared(rig: MakeRig) -> None:
    one = rig()
    outcome = await send(one, no)
    assert outcome.error is not None
    assert (outcome.outcome, outcome.error.code, outcome.error.action) == (NOT_SENT, "not_authorised", Action.IGNORE)
    assert (one.modem.pdus, one.modem.at_prompt, one.modem.escapes) == ([], False, 1)
    assert one.wire.written[-1] == b"\x1b"
    assert (await send(one)).outcome is SENT


@pytest.mark.parametrize("answer", [OK, b"\r\n+CMS ERROR: 350\r\n", b"\r\nERROR\r\n", None])
async def test_whatever_the_modem_answers_to_esc_the_next_one_goes_through(rig: MakeRig, answer: Answer) -> None:
    one = rig({"AT+CMGS": lambda: prompt_after(one.modem, 1)})
    one.modem.escape_answer = answer
    assert code(await send(one, no)) == "not_authorised"
    assert (await send(one)).outcome is SENT
    assert len(one.modem.pdus) == 1


async def test_no_esc_is_written_before_the_prompt_is_there(rig: MakeRig) -> None:
    one = rig({"AT+CMGS": lambda: prompt_after(one.modem, 4)})
    assert code(await send(one, no)) == "not_authorised"
    assert one.wire.times[1] - one.wire.times[0] == pytest.approx(4, abs=0.1)


async def test_what_authorise_raises_is_raised_with_the_line_clear(rig: MakeRig) -> None:
    one = rig()

    async def disk_full() -> bool:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        await send(one, disk_full)
    assert (one.modem.pdus, one.modem.at_prompt) == ([], False)
    assert (await send(one)).outcome is SENT


async def test_an_authorisation_that_never_comes_is_none(rig: MakeRig) -> None:
    one = rig()
    assert code(await send(one, after(3600))) == "not_authorised"
    assert one.modem.pdus == []


async def test_a_modem_that_leaves_the_prompt_by_itself_gets_no_pdu(rig: MakeRig) -> None:
    for answer, name in ((b"\r\nOK\r\n", "aborted"), (b"\r\n+CMS ERROR: 512\r\n", "cms_512")):
        one = rig()
        one.modem.say_later(5, answer)
        outcome = await send(one, after(10))
        assert (outcome.outcome, code(outcome), one.modem.pdus) == (NOT_SENT, name, [])
        one.modem.at_prompt = False


async def test_a_port_lost_before_ctrl_z_is_not_sent(rig: MakeRig) -> None:
    for moment in (0.5, 1.5):  # before the prompt, and while the commit lasts
        one = rig({"AT+CMGS": lambda: prompt_after(one.modem, 1)})  # noqa: B023
        asyncio.get_running_loop().call_later(moment, one.modem.end.unplug)
        outcome = await send(one, after(2))
        assert (outcome.outcome, code(outcome)) == (NOT_SENT, "port_lost")
        assert (await send(one)).outcome is NOT_SENT  # and nothing goes out on a dead channel


async def test_a_dead_modem_is_found_before_the_next_send(rig: MakeRig) -> None:
    one = rig({"AT+CMGS": lambda: None, "AT": None})
    assert code(await send(one)) == "prompt_timeout"
    assert code(await send(one)) == "not_answering"
    assert one.channel.is_closed


# After Ctrl-Z


@pytest.mark.parametrize(
    ("answer", "outcome", "name"),
    [
        (b"\r\n+CMS ERROR: 38\r\n", NOT_SENT, "cms_38"),
        (b"\r\n+CMS ERROR: Network out of order\r\n", NOT_SENT, "cms_38"),
        (b"\r\n+CMS ERROR: 8\r\n", NOT_SENT, "cms_8"),
        (b"\r\n+CMS ERROR: 195\r\n", NOT_SENT, "cms_195"),
        (b"\r\n+CMS ERROR: 127\r\n", UNKNOWN, "cms_127"),
        (b"\r\n+CMS ERROR: 332\r\n", UNKNOWN, "cms_332"),
        (b"\r\n+CMS ERROR: 350\r\n", UNKNOWN, "cms_350"),
        (b"\r\n+CMS ERROR: 500\r\n", UNKNOWN, "cms_500"),
        (b"\r\n+CMS ERROR: Unknown error\r\n", UNKNOWN, "cms_500"),
        (b"\r\n+CMS ERROR: 512\r\n", UNKNOWN, "cms_512"),
        (b"\r\n+CMS ERROR: 513\r\n", UNKNOWN, "cms_513"),
        (b"\r\n+CMS ERROR: 514\r\n", UNKNOWN, "cms_514"),
        (b"\r\n+CMS ERROR: own words\r\n", UNKNOWN, "cms_unknown"),
        (b"\r\nERROR\r\n", UNKNOWN, "error"),
        (b"\r\nNO CARRIER\r\n\r\nERROR\r\n", UNKNOWN, "error"),
        (b"\r\nOK\r\n", UNKNOWN, "no_reference"),
        (None, UNKNOWN, "timeout"),
        (b"\r\nRDY\r\n", UNKNOWN, "reboot"),
        (b"\r\nSMS Ready\r\n", UNKNOWN, "reboot"),
        (b"\r\n+CMGS", UNKNOWN, "timeout"),
    ],
)
async def test_the_end_of_the_dialogue_after_ctrl_z(
    rig: MakeRig, answer: Answer, outcome: SendOutcome, name: str
) -> None:
    one = rig()
    one.modem.pdu_answer = answer
    result = await send(one)
    assert (result.outcome, code(result), len(one.modem.pdus)) == (outcome, name, 1)
    assert len(one.wire.written) == 2  # nothing more, not even an ESC


async def test_a_boot_urc_that_is_old_news_does_not_cost_the_result(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = b"\r\nSMS Ready\r\n" + RESULT
    assert (await send(one)).outcome is SENT


async def test_a_protocol_error_after_tr1m_is_unknown(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = lambda: one.modem.say_later(50, b"\r\n+CMS ERROR: 111\r\n")
    assert (await send(one)).outcome is UNKNOWN


async def test_a_port_lost_after_ctrl_z_is_unknown(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = one.modem.end.unplug
    outcome = await send(one)
    assert (outcome.outcome, code(outcome)) == (UNKNOWN, "port_lost")


async def test_a_port_lost_between_reference_and_ok_is_sent(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = b"\r\n+CMGS: 3\r\n"
    asyncio.get_running_loop().call_later(1, one.modem.end.unplug)
    assert (await send(one)).mr == 3


# A result that comes late


async def test_a_late_reference_resolves_the_send_that_was_given_up(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = lambda: one.modem.say_later(300, RESULT)
    assert code(await send(one)) == "timeout"
    await asyncio.sleep(130)
    assert [(token, result.outcome, result.mr) for token, result in one.late] == [("a", SENT, 17)]
    assert one.late[0][1].seconds == pytest.approx(300, abs=1)
    assert (await one.channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]


async def test_a_reference_after_six_minutes_is_nobodys(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = lambda: one.modem.say_later(400, RESULT)
    await send(one)
    await asyncio.sleep(300)
    assert one.late == []


@pytest.mark.parametrize("moment", [0.1, 0.19, 0.3, 1, 2.7, 5.1, 6, 8])
async def test_a_late_reference_during_the_next_command_and_its_resync(rig: MakeRig, moment: float) -> None:
    one = rig({"AT+SLOW": lambda: one.modem.say_later(10, b"\r\n+SLOW: right\r\n" + OK)})
    one.modem.pdu_answer = None
    assert code(await send(one)) == "timeout"
    one.modem.say_later(moment, RESULT)
    response = await one.channel.command(Command("AT+SLOW", prefix="+SLOW:", timeout=30))
    assert response.lines == ["+SLOW: right"]
    assert [(token, result.mr) for token, result in one.late] == [("a", 17)]


async def test_the_resync_after_a_send_writes_no_esc(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = None
    await send(one)
    await one.channel.command(SIGNAL)
    assert one.modem.escapes == 0


async def test_a_modem_that_works_on_the_send_for_longer_is_given_time(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = None
    loop = asyncio.get_running_loop()
    asking = asyncio.create_task(send(one))
    await asyncio.sleep(1)
    one.modem.busy_until = loop.time() + 195
    one.modem.say_later(195, RESULT)
    assert code(await asking) == "timeout"
    assert (await one.channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]
    assert [result.mr for _, result in one.late] == [17]


async def test_a_late_reference_is_not_that_of_the_send_that_follows(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = None
    await send(one)

    def late_then_prompt() -> None:
        one.modem.say(b"\r\n+CMGS: 99\r\n\r\nOK\r\n")
        prompt_after(one.modem, 1)

    one.modem.answers["AT+CMGS"] = late_then_prompt
    one.modem.pdu_answer = b"\r\n+CMGS: 100\r\n" + OK
    second = await one.channel.send_pdu(LENGTH, PDU, yes, token="b")
    assert (second.outcome, second.mr) == (SENT, 100)
    assert [(token, result.mr) for token, result in one.late] == [("a", 99)]


async def test_a_second_send_ends_the_wait_for_the_first_ones_reference(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = None
    await send(one)
    one.modem.pdu_answer = RESULT
    assert (await send(one)).mr == 17
    one.modem.say(b"\r\n+CMGS: 3\r\n" + OK)
    await asyncio.sleep(1)
    assert one.late == []


# Cancelled


async def test_cancelled_before_ctrl_z_it_is_aborted_with_esc(rig: MakeRig) -> None:
    for moment, prompt_at in ((0.5, 1.0), (1.5, 1.0)):  # before the prompt, and while the commit lasts
        one = rig({"AT+CMGS": lambda at=prompt_at: prompt_after(one.modem, at)})  # noqa: B023
        asking = asyncio.create_task(send(one, after(60)))
        await asyncio.sleep(moment)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (await one.channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]  # waits for the abort
        assert (one.modem.pdus, one.modem.at_prompt, one.modem.escapes, one.late) == ([], False, 1, [])


async def test_cancelled_after_ctrl_z_the_dialogue_goes_on_and_its_result_is_told(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = lambda: one.modem.say_later(60, RESULT)
    asking = asyncio.create_task(send(one))
    await asyncio.sleep(10)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert one.channel.sending
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert (await one.channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]
    assert loop.time() - started == pytest.approx(50, abs=1)
    assert [(token, result.outcome, result.mr) for token, result in one.late] == [("a", SENT, 17)]
    assert len(one.wire.written) == 3


async def test_cancelled_in_the_very_moment_of_the_result_it_is_told_too(rig: MakeRig) -> None:
    one = rig()
    tasks: list[asyncio.Task[SendResult]] = []

    def answer() -> None:
        one.modem.say(RESULT)
        asyncio.get_running_loop().call_soon(tasks[0].cancel)

    one.modem.pdu_answer = answer
    tasks.append(asyncio.create_task(send(one)))
    try:
        results = [("a", await tasks[0])]
    except asyncio.CancelledError:
        await one.channel.command(SIGNAL)
        results = one.late  # type: ignore[assignment]
    assert [(token, result.mr) for token, result in results] == [("a", 17)]


async def test_cancelled_in_the_middle_of_a_chunked_pdu_ctrl_z_is_never_written(rig: MakeRig) -> None:
    one = rig()
    one.channel.pacing = WritePacing(chunk=4, chunk_delay=1.0)
    asking = asyncio.create_task(send(one))
    await asyncio.sleep(3.5)
    asking.cancel()
    await asyncio.wait([asking])
    assert (await one.channel.command(SIGNAL)).lines == ["+CSQ: 20,99"]
    assert (one.modem.pdus, one.modem.escapes) == ([], 1)


async def test_close_in_the_middle_tells_each_its_certainty(rig: MakeRig) -> None:
    one = rig()
    asking = asyncio.create_task(send(one, after(60)))
    await asyncio.sleep(1)
    await one.channel.close()
    assert code(await asking) == "port_lost"
    assert one.wire.written[-1] == b"\x1b"  # no prompt is left behind for the next one
    two = rig()
    two.modem.pdu_answer = None
    asking = asyncio.create_task(send(two))
    await asyncio.sleep(1)
    await two.channel.close()
    assert ((await asking).outcome, two.wire.written[-1][-1:]) == (UNKNOWN, b"\x1a")


async def test_the_next_waits_for_the_one_before(rig: MakeRig) -> None:
    one = rig()
    one.modem.pdu_answer = lambda: one.modem.say_later(3, RESULT)
    results = await asyncio.gather(*(send(one) for _ in range(5)))
    assert [result.outcome for result in results] == [SENT] * 5
    assert one.modem.pdus == [PDU] * 5


# Arguments


@pytest.mark.parametrize(
    ("length", "pdu"),
    [
        (LENGTH, ""),
        (LENGTH, PDU[:-1]),
        (LENGTH - 1, PDU),
        (LENGTH, PDU + "00"),
        (LENGTH, PDU[:-2] + "\x1a\r"),
        (LENGTH, PDU.replace("00", "0 0", 1)),
        (LENGTH, " " + PDU),
        (LENGTH, PDU[:-2] + "é0"),
        (0, "00"),
        (165, "00" + "AA" * 165),
    ],
)
async def test_what_is_no_pdu_never_reaches_the_port(rig: MakeRig, length: int, pdu: str) -> None:
    one = rig()
    with pytest.raises(AtArgumentError):
        await one.channel.send_pdu(length, pdu, yes)
    assert one.wire.written == []


async def test_the_trace_shows_no_pdu(rig: MakeRig) -> None:
    one = rig(echo=True)
    await send(one)
    assert PDU[10:30] not in str(one.channel.trace.lines())
    assert f"<hex {len(PDU)}>" in str(one.channel.trace.lines())


# Chunking and noise


@given(st.lists(st.integers(0, 120), max_size=20), st.booleans(), st.sampled_from([b"", URC, b"\r\nRING\r\n\x00"]))
@settings(max_examples=examples(150), suppress_health_check=list(HealthCheck), deadline=None)
def test_the_dialogue_cut_in_any_way_ends_the_same(cuts: list[int], echo: bool, news: bytes) -> None:
    def cut(data: bytes) -> Iterator[bytes]:
        bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        return (data[start:end] for start, end in itertools.pairwise(bounds))

    async def run() -> SendResult:
        near, far = loopback()
        modem = ScriptedModem(far, echo=echo, cut=cut, prompt=news + b"\r\n> " + news)
        modem.pdu_answer = news + b"\r\n+CMGS: 17\r\n" + news + OK
        far.attach(modem)
        channel = AtChannel.attach(near)
        async with asyncio.timeout(NO_HANG):
            result = await channel.send_pdu(LENGTH, PDU, yes)
            await channel.close()
        return result

    result = asyncio.run(run())
    assert (result.outcome, result.mr) == (SENT, 17)


@given(st.binary(max_size=80), st.binary(max_size=80))
@settings(max_examples=examples(150), suppress_health_check=list(HealthCheck), deadline=None)
def test_noise_in_the_dialogue_gives_a_result_and_at_most_one_pdu(before: bytes, behind: bytes) -> None:
    async def run() -> tuple[SendResult, list[bytes]]:
        near, far = loopback()
        modem = ScriptedModem(far, prompt=before + b"\r\n> ")
        modem.pdu_answer = behind + RESULT
        far.attach(modem)
        channel = AtChannel.attach(near)
        async with asyncio.timeout(NO_HANG):
            result = await channel.send_pdu(LENGTH, PDU, yes, prompt_timeout=0.05, result_timeout=0.05)
            await channel.close()
        return result, near.written

    result, written = asyncio.run(run())
    assert sum(data.count(b"\x1a") for data in written) <= 1
    assert result.outcome is not NOT_SENT or not any(b"\x1a" in data for data in written) or result.error is not None


async def test_a_send_on_a_closed_channel_says_so(rig: MakeRig) -> None:
    one = rig()
    await one.channel.close()
    assert code(await send(one)) == "port_lost"
    with pytest.raises(PortLost):
        await one.channel.resync()


def prompt_after(modem: ScriptedModem, seconds: float) -> None:
    def prompt() -> None:
        modem.at_prompt = True
        modem.say(b"\r\n> ")

    asyncio.get_running_loop().call_later(seconds, prompt)
