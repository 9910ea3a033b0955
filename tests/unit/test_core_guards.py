"""Who may be written to; what is held while sending is paused."""

from __future__ import annotations

import asyncio

import phonenumbers
import pytest

from sms_bridge.core.guarding import Guard
from sms_bridge.core.guards import GuardSettings, NumberRules, country_of
from sms_bridge.core.holds import PAUSE, Holds
from sms_bridge.core.model import Accepted, Finished, Rejected
from sms_bridge.core.numbers import DictContactBook
from sms_bridge.core.premium import PREMIUM
from tests.support.desk import ANNA, STICK, open_desk, sent

EXAMPLES = (phonenumbers.PhoneNumberType.PREMIUM_RATE, phonenumbers.PhoneNumberType.SHARED_COST)


def code(number: str, **settings: object) -> str | None:
    refusal = NumberRules(GuardSettings(**settings)).refusal(number)
    return refusal.code if refusal else None


def patterns() -> dict[int, list[str]]:
    """What libphonenumber knows of premium-rate and shared-cost numbers."""
    found: dict[int, list[str]] = {}
    load = phonenumbers.PhoneMetadata
    for calling, regions in sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()):
        for region in regions:
            data = load.metadata_for_nongeo_region(calling) if region == "001" else load.metadata_for_region(region)
            for kind in (data.premium_rate, data.shared_cost):
                pattern = kind.national_number_pattern if kind else None
                if pattern and pattern not in found.setdefault(calling, []):
                    found[calling].append(pattern)
    return {calling: them for calling, them in found.items() if them}


def test_the_table_of_premium_numbers_is_that_of_libphonenumber():
    assert {calling: "|".join(them) for calling, them in patterns().items()} == PREMIUM


def test_every_country_s_example_of_a_premium_number_is_denied_and_of_a_mobile_number_is_not():
    wrong = []
    for region in phonenumbers.SUPPORTED_REGIONS:
        kinds = [(kind, True) for kind in EXAMPLES] + [(phonenumbers.PhoneNumberType.MOBILE, False)]
        for kind, denied in kinds:
            example = phonenumbers.example_number_for_type(region, kind)
            if example is not None:
                number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
                if (code(number) == "denied_prefix") is not denied:
                    wrong.append(number)
    assert not wrong


@pytest.mark.parametrize("number", ["+979123456789", "+80812345678", "+881612345678", "+88213123456", "+870773123456",
                                    "+8835100123456", "+3690123456", "+87812345678901"])  # fmt: skip
def test_premium_and_satellite_numbers_are_denied_with_the_way_to_allow_them(number):
    refusal = NumberRules(GuardSettings()).refusal(number)
    assert refusal.code == "denied_prefix"
    prefix = refusal.text.split('put "')[1].split('"')[0]
    assert number.startswith(prefix)
    assert code(number, allow=(prefix,)) is None


@pytest.mark.parametrize(
    ("number", "settings", "expected"),
    [
        (ANNA, {}, None),
        ("+3690123456", {"allow_premium": True}, None),
        ("+881612345678", {"allow_premium": True}, "denied_prefix"),
        ("+881612345678", {"allow_satellite": True}, None),
        ("+979123456789", {"allow_satellite": True}, "denied_prefix"),
        (ANNA, {"deny": ("+3630",)}, "denied_prefix"),
        (ANNA, {"deny": ("+36",), "allow": ("+3630",)}, None),
        (ANNA, {"deny": ("+363",), "allow": ("+36",)}, "denied_prefix"),
        (ANNA, {"allow_countries": ("HU", "AT")}, None),
        ("+49151234567", {"allow_countries": ("HU", "AT")}, "denied_country"),
        ("+49151234567", {"allow_countries": ("HU",), "allow": ("+49151",)}, None),
        ("+3690123456", {"allow_countries": ("HU",)}, "denied_prefix"),
        ("+12425551234", {"deny_countries": ("BS",)}, "denied_country"),
        ("+12125551234", {"deny_countries": ("BS",)}, None),
        ("+99912345678", {"allow_countries": ("HU",)}, "denied_country"),
        ("1755", {}, "short_code"),
        ("1755", {"short_codes": ("1755",)}, None),
        ("1756", {"short_codes": ("1755",)}, "short_code"),
        ("112", {"short_codes": None}, None),
    ],
)
def test_the_longest_prefix_counts_and_then_rates_and_countries(number, settings, expected):
    assert code(number, **settings) == expected


def test_a_country_is_found_beyond_the_described_ranges():
    assert (country_of(ANNA), country_of("+447400123456"), country_of("+979123456789")) == ("HU", "GB", None)
    assert country_of("+36999999999999") == "HU"


def test_own_numbers_are_denied_until_allowed():
    own = [ANNA]
    rules = NumberRules(GuardSettings(), lambda: own)
    assert rules.refusal(ANNA).code == "own_number"
    own.clear()
    assert rules.refusal(ANNA) is None
    assert NumberRules(GuardSettings(allow_own_numbers=True), lambda: [ANNA]).refusal(ANNA) is None


@pytest.fixture
async def desk(tmp_path):
    async with open_desk(tmp_path, guard=Guard(GuardSettings(), DictContactBook())) as opened:
        yield opened


async def test_a_denied_recipient_is_rejected_and_the_others_are_sent(desk):
    result = await desk.order("a", to=(ANNA, "+979123456789", "1755"))
    assert (result.orders, [r.code for r in result.rejections]) == (1, ["denied_prefix", "short_code"])
    told = [(s["to"], s["state"], (s["error"] or {}).get("code")) for s in desk.statuses("a")]
    assert told == [
        (ANNA, "queued", None),
        ("+979123456789", "rejected", "denied_prefix"),
        ("1755", "rejected", "short_code"),
    ]


async def test_what_the_configuration_asks_for_itself_is_no_abuse(desk):
    assert isinstance(await desk.order("a", to=("1755",)), Rejected)
    assert await desk.order("b", to=("1755",), source="balance") == Accepted("b", 1)


@pytest.mark.parametrize("typed", [f"+36301234567{bad}" for bad in "\r\n\x1a\x1b\";*#'`$"] + ["*100#", "+3630\r123456"])
async def test_nothing_but_digits_of_a_number_reaches_an_order(desk, typed):
    """Domain G15, E8.1."""
    result = await desk.order("a", to=(typed,))
    assert [r.code for r in result.rejections] == ["invalid_number"]
    assert desk.dispatcher.try_claim(STICK) is None


def holds(desk, **settings):
    return Holds(desk.journal, desk.dispatcher, desk.clock, **settings)


async def claimed(desk):
    return await asyncio.wait_for(desk.dispatcher.claim(STICK), 2)


async def test_while_it_is_paused_orders_are_accepted_and_wait(desk):
    switch = holds(desk)
    await switch.start()
    assert await switch.pause("at the dentist's")
    assert not await switch.pause()
    assert await desk.order("a") == Accepted("a", 1)
    wait = asyncio.create_task(desk.dispatcher.claim(STICK))
    await asyncio.sleep(0.05)
    assert not wait.done()
    assert (switch.paused, switch.reason) == (True, "at the dentist's")
    assert await switch.resume()
    assert (await asyncio.wait_for(wait, 2)).order.id == "a"
    assert not await switch.resume()
    events = [(e["event_type"], e["reason"]) for e in desk.published("event")]
    assert events == [("paused", "at the dentist's"), ("resumed", "at the dentist's")]


async def test_an_order_that_a_modem_holds_already_is_not_begun(desk):
    switch = holds(desk)
    await desk.order("a")
    job = await claimed(desk)
    await switch.pause()
    assert not await desk.dispatcher.begin(job, 0)
    assert desk.states("a") == ["queued"]
    await switch.resume()
    await desk.send(sent())
    assert desk.states("a") == ["queued", "sending", "sent"]


async def test_a_message_of_which_a_part_is_out_is_finished(desk):
    switch = holds(desk)
    await desk.order("a", "x" * 300)
    job = await claimed(desk)
    assert await desk.dispatcher.begin(job, 0)
    await switch.pause()
    assert await desk.dispatcher.begin(job, 1, Finished(job, 0, sent(1)))
    await desk.told(desk.dispatcher.finish(Finished(job, 1, sent(2))))
    assert desk.states("a")[-1] == "sent"


async def test_the_rest_of_a_message_whose_modem_was_lost_is_finished_in_a_pause(desk):
    switch = holds(desk)
    await desk.order("a", "x" * 300)
    job = await claimed(desk)
    assert await desk.dispatcher.begin(job, 0)
    await desk.told(desk.dispatcher.finish(Finished(job, 0, sent(1))))
    desk.dispatcher.release(job)
    await switch.pause()
    rest = await desk.send(sent(2))
    assert [part.index for part in rest.parts] == [1]
    assert desk.states("a")[-1] == "sent"


async def test_urgent_orders_go_though_it_is_paused(desk):
    switch = holds(desk, urgent=100)
    await switch.pause()
    for id, priority in (("a", 99), ("b", 100)):
        await desk.order(id, priority=priority)
    assert (await desk.send(sent())).order.id == "b"
    assert desk.dispatcher.try_claim(STICK) is None


async def test_the_pause_outlives_the_process_and_deadlines_pass_in_it(tmp_path):
    async with open_desk(tmp_path) as desk:
        await holds(desk).pause("holidays")
    async with open_desk(tmp_path) as desk:
        switch = holds(desk)
        await switch.start()
        assert (switch.paused, switch.reason) == (True, "holidays")
        assert "paused" in switch.warnings()[0]
        await desk.order("a", expires_in=60)
        desk.clock.forward(61)
        await desk.tick()
        assert desk.states("a") == ["queued", "expired"]
        await switch.resume()
        assert await desk.journal.read(lambda reader: reader.meta(PAUSE)) == ""
        assert not switch.warnings()


async def test_without_a_pause_the_dispatcher_asks_nobody(desk):
    switch = holds(desk)
    await switch.start()
    assert desk.dispatcher.policy.held is None
    await switch.pause()
    await switch.resume()
    assert desk.dispatcher.policy.held is None


if __name__ == "__main__":
    for calling, them in patterns().items():
        print(f'    {calling}: r"{"|".join(them)}",')
