"""Contacts and groups that are added while the bridge runs."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from sms_bridge.core.book import Book, BookError
from sms_bridge.core.errors import NumberError
from sms_bridge.core.numbers import expand
from sms_bridge.core.people import Contact, Group
from sms_bridge.mqtt.people import people_handlers
from sms_bridge.mqtt.requests import RequestError
from sms_bridge.store import Journal
from sms_bridge.store.people import PeopleTable
from tests.support.desk import ANNA

CILI = "+36305555555"


@asynccontextmanager
async def opened(path, contacts=None, groups=None):
    journal = await Journal.open(path)
    told = []
    book = Book(contacts or {"anna": "06301234567"}, groups or {"family": ("@anna",)}, "HU", PeopleTable(journal))
    book.told = told
    book._changed = lambda: told.append(1)
    try:
        await book.start()
        yield book
    finally:
        await journal.close()


async def test_what_is_added_is_there_at_once_and_after_a_restart(tmp_path):
    cili = Contact("06 30 555 5555", "Cili", quiet_hours=("22:00-07:00",), priority_breaks_quiet=5)
    async with opened(tmp_path) as book:
        assert not await book.set_contact("cili", cili)
        assert not await book.set_group("girls", Group(("@cili", "@anna"), quiet_hours=("20:00-08:00",)))
        assert await book.set_contact("cili", cili)
        assert len(book.told) == 3
    async with opened(tmp_path) as book:
        assert book.contacts()["cili"] == (cili, False)
        assert expand("@cili", "HU", book) == [CILI]
        assert expand("#girls", "HU", book) == [CILI, ANNA]
        assert (book.name_of(CILI), book.who(CILI), book.any_quiet) == ("cili", cili, True)
        assert book.group_details("girls").quiet_hours == ("20:00-08:00",)
        await book.remove_group("girls")
        await book.remove_contact("cili")
    async with opened(tmp_path) as book:
        assert (list(book.contacts()), list(book.groups()), book.any_quiet) == (["anna"], ["family"], False)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda book: book.set_contact("anna", Contact(CILI)), "stands in the configuration"),
        (lambda book: book.set_group("family", Group((CILI,))), "stands in the configuration"),
        (lambda book: book.remove_contact("anna"), "stands in the configuration"),
        (lambda book: book.remove_group("family"), "stands in the configuration"),
        (lambda book: book.set_contact("family", Contact(CILI)), "is the name of a group"),
        (lambda book: book.set_group("anna", Group((CILI,))), "is the name of a contact"),
        (lambda book: book.set_group("all", Group(("@family",))), "is a group"),
        (lambda book: book.set_group("all", Group(("@nobody",))), "no contact"),
        (lambda book: book.set_contact("bad", Contact("+1;")), "not a phone number"),
        (lambda book: book.set_contact("bad", Contact("@anna")), "not a phone number"),
        (lambda book: book.remove_contact("nobody"), "there is no contact"),
        (lambda book: book.remove_contact("bela"), "a member of men"),
    ],
)
async def test_what_cannot_be_done_is_said_and_changes_nothing(tmp_path, work, said):
    async with opened(tmp_path) as book:
        await book.set_contact("bela", Contact("+36209876543"))
        await book.set_group("men", Group(("@bela",)))
        before = (book.contacts(), book.groups())
        with pytest.raises((BookError, NumberError), match=said):
            await work(book)
        assert (book.contacts(), book.groups()) == before


async def test_the_configuration_goes_before_what_was_added(tmp_path):
    async with opened(tmp_path) as book:
        await book.set_contact("cili", Contact(CILI))
        book.adopt({"cili": "+36301111111"}, {}, "HU")
        assert (book.contact("cili"), book.contacts()["cili"][1]) == ("+36301111111", True)
        book.adopt({}, {"cili": ("+36302222222",)}, "HU")
        assert (book.contact("cili"), book.group("cili")) == (None, ("+36302222222",))
        book.adopt({}, {}, "HU")
        assert book.contact("cili") == CILI


async def test_the_requests_take_and_give_what_the_models_say(tmp_path):
    async with opened(tmp_path) as book:
        ask = people_handlers(book)
        fields = {"contact": "cili", "number": CILI, "quiet_hours": "22:00-07:00", "language": "hu"}
        assert await ask["contacts/set"](fields) == {"contact": "cili", "replaced": False}
        assert await ask["groups/set"]({"group": "girls", "members": ["cili", "@anna", "06 20 555-1234"]}) == {
            "group": "girls", "replaced": False,
        }  # fmt: skip
        anna, cili = (await ask["contacts/list"]({}))["contacts"]
        assert (anna["contact"], anna["number"], anna["read_only"]) == ("anna", "06301234567", True)
        assert (cili["quiet_hours"], cili["language"], cili["read_only"]) == (("22:00-07:00",), "hu", False)
        girls = (await ask["groups/list"]({}))["groups"][1]
        assert girls["members"] == ("@cili", "@anna", "06 20 555-1234")
        await ask["groups/remove"]({"group": "girls"})
        await ask["contacts/remove"]({"contact": "cili"})
        assert list(book.contacts()) == ["anna"]


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("contacts/set", {"contact": "cili"}, "`number` is missing"),
        ("contacts/set", {"contact": "Cili", "number": CILI}, "`contact`"),
        ("contacts/set", {"contact": "123", "number": CILI}, "`contact`"),
        ("contacts/set", {"contact": "cili", "number": 36305555555}, "`number`"),
        ("contacts/set", {"contact": "cili", "number": CILI, "quiet": "x"}, "did you mean `quiet_hours`"),
        ("contacts/set", {"contact": "cili", "number": CILI, "quiet_hours": "late"}, "22:00-07:00"),
        ("contacts/set", {"contact": "cili", "number": CILI, "time_zone": "Mars/Base"}, "time zone"),
        ("contacts/set", {"contact": "cili", "number": "call me"}, "not a phone number"),
        ("groups/set", {"group": "girls", "members": []}, "`members`"),
        ("groups/set", {"group": "girls", "members": [3]}, "`members.0`"),
        ("contacts/list", {"x": 1}, "no field"),
    ],
)
async def test_requests_that_are_wrong_are_answered_with_a_sentence(tmp_path, name, fields, said):
    async with opened(tmp_path) as book:
        with pytest.raises(RequestError, match=said):
            await people_handlers(book)[name](fields)
        assert list(book.contacts()) == ["anna"]
