"""One account from the journal to a message centre and back, over TCP (domain C, G13)."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from sms_bridge.config.smpp import SenderSettings, SmppTlsSettings
from sms_bridge.core.errors import StoreError
from sms_bridge.core.model import Rejected
from sms_bridge.core.states import OnUnknown
from sms_bridge.routes.smpp import intake, pace, pdu
from sms_bridge.routes.smpp.pdu import Address, Command, Message, Tag
from tests.support.certificates import certificate
from tests.support.smpp_rig import NUMBER, OWN, core, rig, until
from tests.support.smsc import Smsc


async def test_an_order_is_sent_and_delivered(tmp_path: Path) -> None:
    async with rig(tmp_path) as (bridge, smsc):
        await bridge.send("a", text="árvíz", validity=3600)
        status = await bridge.status("a", "delivered")
        assert await bridge.states("a") == ["queued", "sending", "sent", "delivered"]
        assert (status["route"], status["modem"]) == ("smpp:backup", None)
        (submitted,) = smsc.submits
        assert (submitted["to"], submitted["sender"]) == (NUMBER[1:], OWN[1:])
        assert bytes.fromhex(submitted["octets"]).decode("utf-16-be") == "árvíz"
        assert submitted["validity"] == "000000010000000R"


@pytest.mark.parametrize(
    ("faults", "id_of"),
    [
        ({"ids": "hex", "receipt_ids": "dec"}, "hexadecimal, then decimal"),
        ({"ids": "dec", "receipt_ids": "hex"}, "decimal, then hexadecimal"),
        ({"receipts": "before"}, "before the response"),
        ({"receipts": "before", "ids": "hex", "receipt_ids": "dec"}, "both"),
        ({"receipt_tlv": True}, "by parameters"),
    ],
)
async def test_receipts_find_their_message(tmp_path: Path, faults: dict[str, Any], id_of: str) -> None:
    async with rig(tmp_path, window=10) as (bridge, smsc):
        for name, value in faults.items():
            setattr(smsc.faults, name, value)
        ids = [f"{number}" for number in range(20)]
        await bridge.send(*ids)
        for id in ids:
            await bridge.status(id, "delivered")
        assert not await bridge.rows("in"), id_of
        assert len(smsc.submits) == 20
        assert smsc.undelivered == {}


async def test_a_receipt_of_failure(tmp_path: Path) -> None:
    async with rig(tmp_path) as (bridge, smsc):
        smsc.faults.receipt_stat = "EXPIRED"
        await bridge.send("a")
        status = await bridge.status("a", "failed")
        assert status["error"]["code"] == "receipt_expired"
        assert await bridge.states("a") == ["queued", "sending", "sent", "failed"]


@pytest.mark.parametrize("long_messages", ["udh", "sar", "payload"])
async def test_long_messages_are_one(tmp_path: Path, long_messages: str) -> None:
    async with rig(tmp_path, long_messages=long_messages) as (bridge, smsc):
        await bridge.send("a", text="long " * 80)
        status = await bridge.status("a", "delivered")
        assert (status["parts"], status["parts_sent"]) == (3, 3)
        octets = [bytes.fromhex(entry["octets"]) for entry in smsc.submits]
        skip = 6 if long_messages == "udh" else 0
        assert b"".join(part[skip:] for part in octets).decode() == "long " * 80


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [(0x0B, "failed", "smpp_0x0b"), (0x0A, "failed", "smpp_0x0a"), (0x01, "failed", "smpp_0x01")],
)
async def test_a_refusal_is_a_failure_with_its_name(tmp_path: Path, status: int, state: str, code: str) -> None:
    async with rig(tmp_path) as (bridge, smsc):
        smsc.faults.refuse, smsc.faults.refuse_status = 100, status
        await bridge.send("a")
        found = await bridge.status("a", state)
        assert found["error"]["code"] == code
        assert "ESME_" in found["error"]["text"]
        assert smsc.submits == []


async def test_throttling_is_no_failure(tmp_path: Path) -> None:
    async with rig(tmp_path, window=5) as (bridge, smsc):
        smsc.faults.refuse, smsc.faults.refuse_status = 2, 0x58
        ids = [f"{number}" for number in range(6)]
        await bridge.send(*ids)
        for id in ids:
            assert (await bridge.status(id, "sent", "delivered"))["state"]
        assert len(smsc.submits) == 6
        assert all(row["state"] != "failed" for row in await bridge.rows("status"))


@pytest.mark.parametrize(("status", "field"), [(0x61, "validity"), (0x62, "validity")])
async def test_what_the_centre_minds_is_left_out_once(tmp_path: Path, status: int, field: str) -> None:
    async with rig(tmp_path) as (bridge, smsc):
        smsc.faults.refuse, smsc.faults.refuse_status = 1, status
        await bridge.send("a", validity=60)
        await bridge.status("a", "delivered")
        assert [entry[field] for entry in smsc.of_kind("submit")] == ["000000000100000R", ""]
        smsc.faults.refuse = 2
        await bridge.send("b", validity=60)
        assert (await bridge.status("b", "failed"))["error"]["code"] == f"smpp_0x{status:02x}"


async def test_no_answer_is_unknown_and_a_late_one_resolves_it(tmp_path: Path) -> None:
    async with rig(tmp_path, response_timeout=0.3) as (bridge, smsc):
        smsc.faults.late_responses, smsc.faults.late_by, smsc.faults.receipts = 1, 0.8, "none"
        await bridge.send("a")
        await bridge.status("a", "unknown")
        await bridge.status("a", "sent")
        assert len(smsc.submits) == 1


async def test_a_lost_response_is_unknown_and_its_receipt_resolves_it(tmp_path: Path) -> None:
    async with rig(tmp_path, response_timeout=0.3) as (bridge, smsc):
        smsc.faults.drop_responses, smsc.faults.receipts = 1, "none"
        await bridge.send("a")
        await bridge.status("a", "unknown")
        submitted = Message(source=Address(OWN[1:], 1, 1), destination=Address(NUMBER[1:], 1, 1))
        smsc.receipt(submitted, smsc.submits[0]["id"])
        await bridge.status("a", "delivered")
        assert len(smsc.submits) == 1


async def test_a_cut_connection_doubles_nothing(tmp_path: Path) -> None:
    """What was under way is unknown; what was not goes out by the next connection."""
    async with rig(tmp_path, window=10) as (bridge, smsc):
        smsc.faults.cut_after, smsc.faults.receipts = 15, "none"
        ids = [f"{number}" for number in range(40)]
        await bridge.send(*ids)
        found = [(await bridge.status(id, "sent", "unknown"))["state"] for id in ids]
        assert 1 <= found.count("unknown") <= 10
        numbers = [entry["id"] for entry in smsc.submits]
        assert len(numbers) == len(set(numbers)) <= 40
        assert found.count("sent") <= len(numbers)


async def test_on_unknown_resend_is_obeyed(tmp_path: Path) -> None:
    async with rig(tmp_path, response_timeout=0.3) as (bridge, smsc):
        smsc.faults.drop_responses = 1
        await bridge.send("a", on_unknown=OnUnknown.RESEND)
        await bridge.status("a", "sent", "delivered")
        assert len(smsc.submits) == 2


async def test_the_centre_takes_its_leave_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "UNBOUND_DELAY", 0.2)
    async with rig(tmp_path, window=5) as (bridge, smsc):
        smsc.faults.unbind_after, smsc.faults.receipts = 8, "none"
        ids = [f"{number}" for number in range(20)]
        await bridge.send(*ids)
        for id in ids:
            assert (await bridge.status(id, "sent", "unknown"))["state"] == "sent"
        assert len(smsc.submits) == 20


async def test_a_message_comes_in_and_the_answer_goes_out_from_that_number(tmp_path: Path) -> None:
    senders = (SenderSettings("ACME"), SenderSettings(OWN), SenderSettings("+36203334444"))
    async with rig(tmp_path, senders=senders) as (bridge, smsc):
        await bridge.send("first")
        await bridge.status("first", "delivered")
        smsc.deliver_text(NUMBER[1:], "36203334444", "OK")
        (found,) = await bridge.received()
        assert (found["from"], found["to"], found["text"]) == (NUMBER, "+36203334444", "OK")
        assert (found["route"], found["modem"]) == ("smpp:backup", None)
        await until(lambda: not smsc.undelivered)
        await bridge.send("answer")
        await bridge.status("answer", "delivered")
        assert [entry["sender"] for entry in smsc.submits] == ["ACME", "36203334444"]


async def test_senders_by_order_and_country(tmp_path: Path) -> None:
    senders = (SenderSettings("HUNGARY", countries=("HU",)), SenderSettings("AUSTRIA", countries=("AT",)))
    async with rig(tmp_path, senders=senders) as (bridge, smsc):
        await bridge.send("at", to=("+436641234567",))
        await bridge.status("at", "delivered")
        await bridge.send("hu", sender="HUNGARY")
        await bridge.status("hu", "delivered")
        assert [entry["sender"] for entry in smsc.submits] == ["AUSTRIA", "HUNGARY"]
        await bridge.send("wrong", sender="AUSTRIA")
        assert (await bridge.status("wrong", "failed"))["error"]["code"] == "sender_not_allowed"
        (refused,) = await bridge.send("nobody", sender="NOBODY")
        assert isinstance(refused, Rejected)
        assert "may not send as NOBODY" in refused.rejections[0].text


async def test_parts_of_a_received_message_by_header_by_sar_and_as_payload(tmp_path: Path) -> None:
    async with rig(tmp_path) as (bridge, smsc):
        source, to = Address(NUMBER[1:], 1, 1), Address(OWN[1:], 1, 1)
        for number in (2, 1):
            header = bytes((5, 0, 3, 77, 2, number))
            text = f"part {number} ".encode("utf-16-be")
            smsc.deliver(
                pdu.message_body(
                    Message(source=source, destination=to, esm_class=0x40, data_coding=8, octets=header + text)
                )
            )
        for number in (1, 2):
            sar = ((Tag.SAR_REFERENCE, b"\x01\x02"), (Tag.SAR_TOTAL, b"\x02"), (Tag.SAR_SEQUENCE, bytes((number,))))
            smsc.deliver(
                pdu.message_body(Message(source=source, destination=to, octets=f"sar {number} ".encode(), tlvs=sar))
            )
        smsc.deliver(pdu.message_body(Message(source=source, destination=to, tlvs=((Tag.PAYLOAD, b"x" * 600),))))
        found = await bridge.received(3)
        assert sorted(row["text"] for row in found) == sorted(["part 1 part 2 ", "sar 1 sar 2 ", "x" * 600])


async def test_a_message_is_answered_after_the_commit_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with rig(tmp_path) as (bridge, smsc):
        real, refusals = bridge.journal.write, [3]

        async def failing(work: Any) -> Any:
            if refusals[0]:
                refusals[0] -= 1
                raise StoreError("the disk is full")
            return await real(work)

        monkeypatch.setattr(bridge.journal, "write", failing)
        smsc.deliver_text(NUMBER[1:], OWN[1:], "OK")
        (found,) = await bridge.received()
        assert found["text"] == "OK"
        await until(lambda: not smsc.undelivered)
        assert [entry["status"] for entry in smsc.of_kind("deliver_resp")] == [0x64, 0x64, 0x64, 0]


async def test_what_a_centre_delivers_again_is_published_once(tmp_path: Path) -> None:
    async with Smsc() as smsc:
        async with core(tmp_path, smsc.port) as bridge:
            body = pdu.message_body(Message(source=Address(NUMBER[1:], 1, 1), octets=b"OK"))
            smsc.deliver(body)
            await bridge.received()
        async with core(tmp_path, smsc.port) as bridge:  # its answer was lost, as far as the centre knows
            smsc.deliver(body)
            await until(lambda: not smsc.undelivered)
            assert len(await bridge.rows("in")) == 1


async def test_what_came_in_a_quiet_session_is_known_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = pdu.message_body(Message(source=Address(NUMBER[1:], 1, 1), octets=b"OK"))
    async with Smsc() as smsc:
        with monkeypatch.context() as quiet:
            quiet.setattr(intake, "REPEATS_FOR", 0.0)
            async with core(tmp_path, smsc.port) as bridge:
                smsc.deliver(body)
                await bridge.received()
        async with core(tmp_path, smsc.port) as bridge:
            smsc.deliver(body)
            await until(lambda: not smsc.undelivered)
            assert len(await bridge.rows("in")) == 1


async def test_the_same_text_twice_in_a_session_is_two_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(tmp_path) as (bridge, smsc):
        monkeypatch.setattr(intake, "REPEATS_FOR", 0.0)
        smsc.links[0].cut()  # the next session is one in which nothing is expected again
        await until(lambda: len(smsc.of_kind("bind")) == 2 and bridge.smpp.up)
        for _ in range(2):
            smsc.deliver_text(NUMBER[1:], OWN[1:], "OK")
        assert len(await bridge.received(2)) == 2


async def test_a_text_that_reads_like_a_receipt_and_is_none(tmp_path: Path) -> None:
    async with rig(tmp_path) as (bridge, smsc):
        smsc.deliver_text(NUMBER[1:], OWN[1:], "id:12 sub:001 dlvrd:001 stat:DELIVRD err:000")
        (found,) = await bridge.received()
        assert found["text"].startswith("id:12")


async def test_a_receipt_that_is_not_marked_counts_when_its_id_is_known(tmp_path: Path) -> None:
    async with rig(tmp_path) as (bridge, smsc):
        smsc.faults.receipts = "none"
        await bridge.send("a")
        await bridge.status("a", "sent")
        id = f"{smsc.submits[0]['id']:X}"
        smsc.deliver_text(NUMBER[1:], OWN[1:], f"id:{id} sub:001 dlvrd:001 stat:DELIVRD err:000")
        await bridge.status("a", "delivered")
        assert await bridge.rows("in") == []


async def test_a_wrong_password_is_told_and_the_order_waits(tmp_path: Path) -> None:
    async with rig(tmp_path, password="wrong", connected=False) as (bridge, smsc):
        await until(lambda: bridge.told)
        ((event, data),) = bridge.told
        assert (event, data["route"]) == ("route_refused", "smpp:backup")
        assert "the password is wrong" in str(data["reason"])
        await bridge.send("a")
        assert await bridge.states("a") == ["queued"]
        (figures,) = [row for row in bridge.service.routes() if row["name"] == "smpp:backup"]
        assert figures["state"] == "down"
        assert smsc.submits == []


async def test_a_stop_waits_for_answers_and_takes_its_leave(tmp_path: Path) -> None:
    async with Smsc() as smsc:
        async with core(tmp_path, smsc.port, window=10) as bridge:
            smsc.faults.latency, smsc.faults.receipts = 0.2, "none"
            ids = [f"{number}" for number in range(10)]
            await bridge.send(*ids)
            await until(lambda: len(smsc.submits) == 10)
            await bridge.smpp.stop()
            assert [(await bridge.states(id))[-1] for id in ids] == ["sent"] * 10
        assert len(smsc.of_kind("unbind")) == 1


async def test_a_deadline_that_passes_in_the_queue(tmp_path: Path) -> None:
    async with rig(tmp_path, connected=False, password="wrong") as (bridge, smsc):
        await bridge.send("a", expires_in=0.2)
        await asyncio.sleep(0.3)
        await bridge.service.tick()
        assert (await bridge.status("a", "expired"))["state"] == "expired"
        assert smsc.submits == []


async def test_an_unknown_command_and_garbage_do_not_end_the_session(tmp_path: Path) -> None:
    async with rig(tmp_path) as (bridge, smsc):
        for link in smsc.links:
            link.write(pdu.pack(0x0BAD, 7) + pdu.pack(Command.DELIVER_SM, 8, b"\0" * 5))
        await bridge.send("a")
        await bridge.status("a", "delivered")
        assert len(smsc.of_kind("bind")) == 1


async def test_a_sender_keeps_to_its_own_limit_and_holds_up_no_other(tmp_path: Path) -> None:
    senders = (SenderSettings("SLOW", throughput=10), SenderSettings("FAST"))
    async with rig(tmp_path, senders=senders, window=50) as (bridge, smsc):
        smsc.faults.receipts = "none"
        await bridge.send(*(f"slow{n}" for n in range(6)), sender="SLOW")
        await bridge.send(*(f"fast{n}" for n in range(20)), sender="FAST")
        await until(lambda: len(smsc.submits) == 26)
        at = {name: [entry["at"] for entry in smsc.submits if entry["sender"] == name] for name in ("SLOW", "FAST")}
        assert at["SLOW"][-1] - at["SLOW"][0] >= 0.4
        assert at["FAST"][-1] < at["SLOW"][-1]


async def test_tls_is_believed_only_with_a_certificate_that_is_known(tmp_path: Path) -> None:
    cert, key = await asyncio.to_thread(certificate, tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with Smsc(tls=context) as smsc:
        async with core(tmp_path / "a", smsc.port, tls=SmppTlsSettings(ca=cert)) as bridge:
            await bridge.send("a")
            await bridge.status("a", "delivered")
        async with core(tmp_path / "b", smsc.port, tls=SmppTlsSettings(), connected=False) as bridge:
            await until(lambda: "its certificate is not trusted" in bridge.smpp.problems()[0])
        async with core(tmp_path / "c", smsc.port, tls=SmppTlsSettings(insecure=True)) as bridge:
            assert bridge.smpp.up == 1
