"""Send requests: what is read, what is refused and in which words; nothing else ever comes out."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sms_bridge.core.model import Rejection, SendRequest
from sms_bridge.core.states import OnUnknown
from sms_bridge.core.submission import MAX_TRANSACTION
from sms_bridge.payloads.orders import (
    MAX_PAYLOAD,
    Refused,
    SendOrder,
    parse_modem_order,
    parse_order,
    parse_recipient_order,
    short_key,
)

NUMBER = "+36301234567"


def order(**fields: Any) -> SendRequest:
    return parse_order(json.dumps({"to": NUMBER, "text": "x", **fields}).encode())


def refusal(payload: bytes | dict[str, Any]) -> Rejection:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    with pytest.raises(Refused) as caught:
        parse_order(raw)
    return caught.value.rejection


def test_to_and_text_are_enough() -> None:
    assert parse_order(b'{"to":"+36301234567","text":"Front door open"}') == SendRequest(
        to=(NUMBER,), text="Front door open"
    )


def test_every_field_of_the_contract() -> None:
    found = parse_order(
        b"""{"id": "door-1", "to": ["+36301234567", "@anna", "#family"], "text": "Front door open",
        "modem": "auto", "route": "auto", "flash": true, "priority": 5, "validity": 3600,
        "send_at": "2026-11-22T20:00:00+01:00", "deadline": "2026-11-22T20:10:00Z",
        "delivery_report": false, "on_unknown": "failover", "encoding": "gsm7", "transliterate": true,
        "data": null, "port": null, "sender": null, "expect_reply": null, "escalate": [], "transaction": 23}"""
    )
    assert found == SendRequest(
        id="door-1",
        to=(NUMBER, "@anna", "#family"),
        text="Front door open",
        flash=True,
        priority=5,
        validity=3600,
        send_at=datetime(2026, 11, 22, 19, tzinfo=UTC),
        deadline=datetime(2026, 11, 22, 20, 10, tzinfo=UTC),
        delivery_report=False,
        on_unknown=OnUnknown.FAILOVER,
        encoding="gsm7",
        transliterate=True,
        transaction=23,
    )


@pytest.mark.parametrize("name", ["to", "number", "recipient", "target", "phoneNumbers"])
@pytest.mark.parametrize("content", ["text", "message", "content"])
def test_old_names_keep_working(name: str, content: str) -> None:
    found = parse_order(json.dumps({name: [NUMBER], content: "x"}).encode())
    assert (found.to, found.text) == ((NUMBER,), "x")


def test_data_is_base64() -> None:
    found = parse_order(b'{"to":"+36301234567","data":"AAECAw==","port":2948}')
    assert (found.data, found.text, found.port) == (b"\x00\x01\x02\x03", None, 2948)


REFUSED: list[tuple[Any, str, str]] = [
    (b"", "invalid_json", "empty"),
    (b"  \n", "invalid_json", "empty"),
    (b"{", "invalid_json", "line 1, column 2"),
    (b'{"to":"x",\n"text":}', "invalid_json", "line 2, column 8"),
    (b"hello", "invalid_json", "not JSON"),
    (b"[1]", "invalid_json", "list"),
    (b'"x"', "invalid_json", "single value"),
    (b'{"to":"1","text":"\xff"}', "invalid_json", "0xff at position 18"),
    (b'{"to":"1","text":"x","priority":NaN}', "invalid_json", "NaN"),
    (b'{"to":"1","text":"x","transaction":Infinity}', "invalid_json", "Infinity"),
    (b'{"to":"1","text":"x","transaction":1e999}', "invalid_json", "too large"),
    (b'{"to":"1","text":"x","transaction":' + b"9" * 9000 + b"}", "invalid_json", "digits"),
    (b'{"to":"1","text":"x","text":"y"}', "invalid_json", "'text' stands there twice"),
    (b"[" * 100_000, "invalid_json", "nested"),
    (b'{"to":"1","text":"x","transaction":' + b"[" * 40 + b"]" * 40 + b"}", "invalid_json", "nested"),
    ({"to": NUMBER, "txet": "x"}, "unknown_field", "did you mean `text`"),
    ({"to": NUMBER, "text": "x", "\x1b[31m": 1}, "unknown_field", "`\ufffd[31m`"),
    ({"text": "x"}, "no_recipient", "`to`"),
    ({"to": [], "text": "x"}, "no_recipient", "`to`"),
    ({"to": None, "text": "x"}, "no_recipient", "`to`"),
    ({"to": " ", "text": "x"}, "no_recipient", "`to`"),
    ({"to": 36301234567, "text": "x"}, "invalid_field", "put quotes around it"),
    ({"to": [36301234567], "text": "x"}, "invalid_field", "in quotes"),
    ({"to": {"n": 1}, "text": "x"}, "invalid_field", "in quotes"),
    ({"to": ["+3630"] * 1001, "text": "x"}, "invalid_field", "1001 recipients"),
    ({"to": "+36\r30", "text": "x"}, "invalid_number", "U+000D"),
    ({"to": "+36301234567\x1a", "text": "x"}, "invalid_number", "U+001A"),
    ({"to": "\u202a+36301234567", "text": "x"}, "invalid_number", "U+202A"),
    ({"to": "1" * 65, "text": "x"}, "invalid_number", "65 characters"),
    ({"to": NUMBER}, "no_text", "`text`"),
    ({"to": NUMBER, "text": None}, "no_text", "`text`"),
    ({"to": NUMBER, "text": ""}, "empty_text", "empty"),
    ({"to": NUMBER, "data": ""}, "empty_text", "empty"),
    ({"to": NUMBER, "text": 5}, "invalid_field", "in quotes"),
    ({"to": NUMBER, "text": "a\x00b"}, "invalid_field", "NUL character at position 1"),
    ({"to": NUMBER, "text": "x" * 262_144}, "too_long", "262144 characters"),
    ({"to": NUMBER, "data": "A" * 60_000}, "too_long", "45000 octets"),
    ({"to": NUMBER, "data": "%%%"}, "invalid_field", "base64"),
    ({"to": NUMBER, "data": "AA==", "text": "x"}, "invalid_field", "not both"),
    ({"to": NUMBER, "number": NUMBER, "text": "x"}, "invalid_field", "`to` and `number`"),
    ({"to": NUMBER, "text": "x", "id": ""}, "invalid_field", "1 to 128"),
    ({"to": NUMBER, "text": "x", "id": "x" * 129}, "invalid_field", "1 to 128"),
    ({"to": NUMBER, "text": "x", "id": "a\nb"}, "invalid_field", "printable"),
    ({"to": NUMBER, "text": "x", "id": 5}, "invalid_field", "in quotes"),
    ({"to": NUMBER, "text": "x", "port": 65_536}, "invalid_field", "0 to 65535"),
    ({"to": NUMBER, "text": "x", "port": True}, "invalid_field", "0 to 65535"),
    ({"to": NUMBER, "text": "x", "priority": 1.5}, "invalid_field", "whole number"),
    ({"to": NUMBER, "text": "x", "priority": 128}, "invalid_field", "-128 to 127"),
    ({"to": NUMBER, "text": "x", "validity": 0}, "invalid_field", "seconds"),
    ({"to": NUMBER, "text": "x", "flash": 1}, "invalid_field", "true or false"),
    ({"to": NUMBER, "text": "x", "send_at": "2026-11-22T20:00:00"}, "invalid_field", "offset"),
    ({"to": NUMBER, "text": "x", "send_at": "2026-11-22"}, "invalid_field", "offset"),
    ({"to": NUMBER, "text": "x", "deadline": 1795364549}, "invalid_field", "offset"),
    ({"to": NUMBER, "text": "x", "encoding": "utf8"}, "invalid_field", "gsm7"),
    ({"to": NUMBER, "text": "x", "on_unknown": "retry"}, "invalid_field", "failover"),
    ({"to": NUMBER, "text": "x", "modem": "Stick 1"}, "invalid_field", "modem's name"),
    ({"to": NUMBER, "text": "x", "route": ""}, "invalid_field", "route's name"),
    ({"to": NUMBER, "text": "x", "sender": 12345}, "invalid_field", "`sender`"),
    ({"to": NUMBER, "text": "x", "sender": "x" * 21}, "invalid_field", "`sender`"),
    ({"to": NUMBER, "text": "x", "expect_reply": 0}, "invalid_field", "1 to 604800"),
    ({"to": NUMBER, "text": "x", "expect_reply": True}, "invalid_field", "`expect_reply` must be"),
    (
        {"to": NUMBER, "text": "x", "expect_reply": {"within": 5, "optons": {}}},
        "invalid_field",
        "`optons`: there is no",
    ),
    ({"to": NUMBER, "text": "x", "expect_reply": {"options": {}}}, "invalid_field", "`within` is missing"),
    (
        {"to": NUMBER, "text": "x", "expect_reply": {"within": 5, "options": {"!": "x"}}},
        "invalid_field",
        "an option has",
    ),
    ({"to": NUMBER, "text": "x", "expect_reply": {"within": 5, "options": ["Ja", "no|ja"]}}, "invalid_field", "'ja'"),
    ({"to": NUMBER, "text": "x", "escalate": [{}]}, "invalid_field", "step 1, `after` is missing"),
    ({"to": NUMBER, "text": "x", "escalate": [{"after": 1, "to": "@a"}, 5]}, "invalid_field", "step 2 must be"),
    ({"to": NUMBER, "text": "x", "escalate": [{"after": -1, "to": "@a"}]}, "invalid_field", "step 1, `after` must be"),
    ({"to": NUMBER, "text": "x", "escalate": [{"after": 1, "to": 36}]}, "invalid_field", "step 1, `to` must be"),
    ({"to": NUMBER, "text": "x", "escalate": [{"after": 1}] * 11}, "invalid_field", "1 to 10 steps"),
    ({"to": NUMBER, "text": "x", "escalate": {"until": "dawn", "steps": [{"after": 1}]}}, "invalid_field", "`until`"),
    (b"x" * (MAX_PAYLOAD + 1), "payload_too_large", "bytes"),
]


@pytest.mark.parametrize(("payload", "code", "words"), REFUSED)
def test_bad_input_is_refused_with_a_code_and_a_sentence(payload: Any, code: str, words: str) -> None:
    found = refusal(payload)
    assert found.code == code
    assert words in found.text


def test_a_refusal_carries_what_could_be_read() -> None:
    found = refusal({"id": "a", "to": [NUMBER], "text": "", "transaction": {"x": 1}})
    assert (found.id, found.to, found.transaction) == ("a", NUMBER, {"x": 1})
    assert refusal({"id": "a\x00", "number": "+36\n1", "text": "x"}).to == "+36\ufffd1"
    assert short_key(b'{"id":"a","transaction":[1]}') == ("a", [1])
    assert short_key(b"{") == (None, None)


def test_what_the_core_echoes_is_read_and_echoed_here_too() -> None:
    longest = "x" * (MAX_TRANSACTION - 2)  # and its quotes
    assert parse_order(f'{{"to":"+36301234567","text":"x","transaction":"{longest}"}}'.encode()).transaction == longest
    assert refusal({"to": NUMBER, "text": "", "transaction": longest}).transaction == longest
    assert refusal({"to": NUMBER, "text": "", "transaction": longest + "x"}).transaction is None
    assert refusal({"to": NUMBER, "text": "", "transaction": "ű" * (MAX_TRANSACTION - 2)}).transaction is not None


def test_half_a_surrogate_pair_does_not_hold_up_an_alarm() -> None:
    found = parse_order(b'{"to":"+36301234567","text":"cut \\ud83d","transaction":["\\udc00"]}')
    assert found.text == "cut \ufffd"
    assert found.transaction == ["\ufffd"]
    assert parse_order(b'{"to":"+36301234567","text":"\\ud83d\\udc4d"}').text == "\U0001f44d"


def test_a_byte_order_mark_is_no_harm() -> None:
    assert parse_order(b'\xef\xbb\xbf{"to":"+36301234567","text":"x"}').text == "x"


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"plain text", "plain text"),
        ("árvíztűrő 👍".encode(), "árvíztűrő 👍"),
        (b'{"text":"from JSON"}', "from JSON"),
        (b'{"message":"old name","id":"a"}', "old name"),
        (b'{"temperature":21}', '{"temperature":21}'),
        (b"{not JSON", "{not JSON"),
        (b'["a"]', '["a"]'),
        (b'"quoted"', '"quoted"'),
        (b"42", "42"),
    ],
)
def test_a_recipient_topic_takes_a_text_or_a_request(payload: bytes, text: str) -> None:
    found = parse_recipient_order(payload, "@anna")
    assert (found.to, found.text) == (("@anna",), text)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "empty_text"),
        (b"\xff", "invalid_text"),
        (b"a\x00", "invalid_field"),
        (b'{"text":"x","to":"+36301234567"}', "invalid_field"),
        (b'{"text":"x","number":"+36301234567"}', "invalid_field"),
        (b'{"text":"x","txt":1}', "unknown_field"),
        (b'{"flash":true}', "no_text"),
        (b"x" * 40_000, "too_long"),
        (b"x" * (MAX_PAYLOAD + 1), "payload_too_large"),
    ],
)
def test_a_recipient_topic_refuses_in_words(payload: bytes, code: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_recipient_order(payload, "+36301234567")
    assert caught.value.rejection.code == code
    assert caught.value.rejection.to == "+36301234567"


def test_a_modem_topic_binds() -> None:
    assert parse_modem_order(b'{"to":"+36301234567","text":"x"}', "stick-1").modem == "stick-1"
    assert parse_modem_order(b'{"to":"+36301234567","text":"x","modem":"stick-1"}', "stick-1").modem == "stick-1"
    with pytest.raises(Refused, match="otherwise"):
        parse_modem_order(b'{"to":"+36301234567","text":"x","modem":"stick-2"}', "stick-1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=400))
@example(b'{"to":"1","text":"\\ud800"}')
@example(b'{"\\ud800":1}')
def test_any_octets_are_an_order_or_a_refusal(payload: bytes) -> None:
    for parse in (parse_order, lambda p: parse_modem_order(p, "m"), lambda p: parse_recipient_order(p, "+36301234567")):
        _is_order_or_refusal(parse, payload)


@given(st.dictionaries(st.sampled_from([*SendOrder.model_fields, "number", "message", "other"]), json_values))
def test_any_object_is_an_order_or_a_refusal(fields: dict[str, Any]) -> None:
    payload = json.dumps(fields).encode()
    _is_order_or_refusal(parse_order, payload)
    _is_order_or_refusal(lambda p: parse_recipient_order(p, "@anna"), payload)


def _is_order_or_refusal(parse: Any, payload: bytes) -> None:
    try:
        found = parse(payload)
    except Refused as refused:
        rejection = refused.rejection
        assert rejection.code
        assert rejection.text
        shown = json.dumps([rejection.text, rejection.id, rejection.to, rejection.transaction], allow_nan=False)
        shown.encode()
        f"{rejection.text}{rejection.to}{rejection.id}".encode()
    else:
        assert found.to
        assert all(number.isprintable() for number in found.to)
        assert (found.text is None) != (found.data is None)
        (found.text or "").encode()
        json.dumps(found.transaction, allow_nan=False, ensure_ascii=False).encode()


def test_a_plain_order_costs_little() -> None:
    payload = b'{"id":"o-1","to":"+36301234567","text":"Front door open"}'
    best = 1.0
    for _ in range(5):
        began = time.process_time()
        for _ in range(500):
            parse_order(payload)
        best = min(best, (time.process_time() - began) / 500)
    assert best < 60e-6, "10 us on an idle machine"


def test_the_json_schema_names_every_field() -> None:
    schema = SendOrder.model_json_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(SendOrder.model_fields)
