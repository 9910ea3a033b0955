"""`smpp:` what a person writes, what the bridge gets, and what a mistake is answered with."""

from __future__ import annotations

from pathlib import Path

import pytest

from sms_bridge.config import ConfigError, Problem, Settings, load
from sms_bridge.config.smpp import NumberKind, SenderSettings, SmppTlsSettings

SIX_LINES = """\
smpp:
  backup:
    host: smpp.example.com
    system_id: "acme"
    password: "secret"
    senders: ["ACME"]
"""


def read(tmp_path: Path, text: str, **environ: str) -> Settings:
    file = tmp_path / "sms-bridge.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environ=environ)


def only(tmp_path: Path, text: str, **environ: str) -> Problem:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **environ)
    (problem,) = caught.value.problems
    return problem


def account(**lines: str) -> str:
    base = {"host": "smpp.example.com", "system_id": '"acme"', "password": '"secret"', **lines}
    return "smpp:\n  backup:\n" + "".join(f"    {key}: {value}\n" for key, value in base.items() if value)


def test_an_account_in_six_lines(tmp_path: Path) -> None:
    found = read(tmp_path, SIX_LINES).smpp["backup"]
    assert (found.name, found.host, found.port) == ("backup", "smpp.example.com", 2775)
    assert (found.system_id, found.password) == ("acme", "secret")
    assert found.senders == (SenderSettings("ACME"),)
    assert (found.bind, found.window, found.rate, found.long_messages) == ("transceiver", 10, None, "udh")
    assert "secret" not in repr(found)


def test_all_keys(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    text = account(
        port="3550",
        system_type='"vma"',
        tls="{ca: ca.pem, insecure: true}",
        enabled="false",
        bind="separate",
        binds="2",
        window="50",
        rate="30",
        long_messages="payload",
        charset="latin1",
        service_type='"CMT"',
        senders='["+36201112222", {sender: "12345", two_way: false, countries: [hu], throughput: 5, ton: 6, npi: 0}]',
        destination="{ton: 0, npi: 1}",
        enquire_link="10s",
        response_timeout="2m",
        vendor_errors='{"0x0410": fail, "0x0411": throttled}',
    )
    found = read(tmp_path, text).smpp["backup"]
    assert (found.port, found.system_type, found.enabled) == (3550, "vma", False)
    assert found.tls == SmppTlsSettings(tmp_path / "ca.pem", insecure=True)
    assert (found.bind, found.binds, found.window, found.rate) == ("separate", 2, 50, 30)
    assert (found.long_messages, found.charset, found.service_type) == ("payload", "latin1", "CMT")
    first, second = found.senders
    assert first == SenderSettings("+36201112222")
    assert second == SenderSettings("12345", False, ("HU",), 5, 6, 0)
    assert found.destination == NumberKind(0, 1)
    assert (found.enquire_link, found.response_timeout) == (10, 120)
    assert dict(found.vendor_errors) == {0x0410: "fail", 0x0411: "throttled"}


def test_where_the_password_may_stand(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-fil\n")
    text = account(password="", password_file="secret")
    assert read(tmp_path, text).smpp["backup"].password == "from-fil"
    found = read(tmp_path, account(password=""), SMS_BRIDGE_SMPP_BACKUP_PASSWORD="from-env")
    assert found.smpp["backup"].password == "from-env"


@pytest.mark.parametrize(
    ("lines", "line", "message", "hint"),
    [
        ({"system_id": "12345"}, 4, "is read as a number here", 'put it in quotes: system_id: "12345"'),
        ({"password": "0123"}, 5, "is read as a number here", 'put it in quotes: password: "0123"'),
        ({"system_id": '"a-very-long-system-id"'}, 4, "at most 15 characters", "it has 21 characters"),
        ({"password": '"longer-than-eight"'}, 5, "at most 8 characters", "it has 17 characters"),
        ({"password": ""}, 2, "has no password", "add password"),
        ({"host": ""}, 2, "host is missing", "add host"),
        ({"password_file": "missing", "password": ""}, 5, "cannot read", "holds the password alone"),
        ({"password_file": "x"}, 6, "there are two passwords", "keep"),
        ({"senders": "[12345]"}, 6, "is read as a number here", 'put it in quotes: - "12345"'),
        ({"senders": '["Twelve chars"]'}, 6, "a name of at most 11", "at most 11"),
        ({"senders": '["+12345678901234567890"]'}, 6, "must be", "15 digits"),
        ({"senders": '[{sender: "1234", ton: 6}]'}, 6, "has one of ton and npi", "write both"),
        ({"long_messages": "uhd"}, 6, "must be one of udh, sar, payload", "did you mean udh?"),
        ({"user": '"acme"'}, 6, "there is no such key", ""),
        ({"tls": "{cert: x.pem}"}, 6, "needs key beside it", "add key"),
        ({"window": '"10"'}, 6, "must be a number", "remove the quotes"),
    ],
)
def test_mistakes(tmp_path: Path, lines: dict[str, str], line: int, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, account(**lines))
    found = next(problem for problem in caught.value.problems if message in problem.message)
    assert found.line == line
    assert hint in found.hint


def test_a_password_in_the_environment_that_is_too_long(tmp_path: Path) -> None:
    problem = only(tmp_path, account(password=""), SMS_BRIDGE_SMPP_BACKUP_PASSWORD="longer-than-eight")
    assert "17 characters; SMPP carries at most 8" in problem.message
    assert "longer-than" not in problem.message


def test_a_name_that_cannot_stand_in_a_route(tmp_path: Path) -> None:
    assert "a name of a-z" in only(tmp_path, SIX_LINES.replace("backup", "Back Up")).message
