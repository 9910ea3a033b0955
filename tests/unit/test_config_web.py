"""`web` and `webhooks` in the configuration: where secrets come from, what is wrong and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from sms_bridge.cli.bundle import _configuration
from sms_bridge.config import Settings, load
from sms_bridge.config.errors import ConfigError, Problem

TOKEN = "0123456789abcdef"


def settings(tmp_path: Path, text: str, **environ: str) -> Settings:
    file = tmp_path / "sms-bridge.yaml"
    file.write_text(text)
    return load(file, environ=environ)


def only(tmp_path: Path, text: str) -> Problem:
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, text)
    (problem,) = caught.value.problems
    return problem


def test_secrets_stand_in_the_file_beside_it_or_in_the_environment(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}-file\n")
    text = (
        f"web:\n  tokens:\n    - token: {TOKEN}-here\n    - {{name: b, token_file: token, scopes: [admin]}}\n"
        "    - env: PANEL_TOKEN\nwebhooks:\n  - {url: 'https://h/x', secret_file: token}\n"
        "  - {name: two, url: 'http://[::1]:80/y?z=1', env: PANEL_TOKEN, events: [failed, bridge], timeout: 5s}\n"
    )
    found = settings(tmp_path, text, PANEL_TOKEN=f"{TOKEN}-env")
    assert found.web is not None
    assert [(each.name, each.token, each.scopes) for each in found.web.tokens] == [
        ("token-1", f"{TOKEN}-here", ("send", "read")),
        ("b", f"{TOKEN}-file", ("admin",)),
        ("token-3", f"{TOKEN}-env", ("send", "read")),
    ]
    first, second = found.webhooks
    assert (first.name, first.secret, first.events, first.timeout) == (
        "webhook-1", f"{TOKEN}-file", ("received",), 10.0,
    )  # fmt: skip
    assert (second.name, second.secret, second.events, second.timeout) == (
        "two", f"{TOKEN}-env", ("failed", "bridge"), 5.0,
    )  # fmt: skip
    assert TOKEN not in repr(found)
    shown = str(_configuration(found, None))
    for secret in (TOKEN, "https://h/x", "z=1"):
        assert secret not in shown


def test_without_the_section_nothing_listens_and_an_empty_one_listens_on_this_machine(tmp_path):
    assert settings(tmp_path, "").web is None
    web = settings(tmp_path, "web:\n").web
    assert web is not None
    assert (web.host, web.port, web.tokens, web.tls) == ("127.0.0.1", 8780, (), None)


@pytest.mark.parametrize(
    ("text", "line", "path", "message", "hint"),
    [
        ("web:\n  tokens:\n    - token: secret\n", 3, "web.tokens[0].token", "16 to 256", "openssl rand"),
        ("web:\n  tokens:\n    - token: 1234567890123456\n", 3, "web.tokens[0].token", "read as a number", "quotes"),
        ("web:\n  tokens:\n    - name: x\n", 3, "web.tokens[0]", "needs one of token, token_file, env", "token_file"),
        ("web:\n  tokens:\n    - env: NOT_SET\n", 3, "web.tokens[0].env", "NOT_SET holds no token of 16", "set it"),
        ("web:\n  tokens:\n    - token_file: none\n", 3, "web.tokens[0].token_file", "cannot read", "token alone"),
        (
            f"web:\n  tokens:\n    - {{token: {TOKEN}, scopes: [write]}}\n",
            3, "web.tokens[0].scopes[0]", "send, read, admin, metrics", "",
        ),
        (
            f"web:\n  tokens:\n    - {{name: a, token: {TOKEN}}}\n    - {{name: a, token: {TOKEN}}}\n",
            4, "web.tokens[1].name", "tokens[0] is called so too", "name of its own",
        ),
        ("web:\n  tls:\n    cert: c.pem\n", 2, "web.tls", "needs cert and key", "both"),
        ("web:\n  trusted_proxies: [10.0.0.300]\n", 2, "web.trusted_proxies[0]", "address or a network", "192.168"),
        ("web:\n  hosts: x\n", 2, "web.hosts", "no such key", "host"),
        ("webhooks:\n  - url: house.example/x\n", 2, "webhooks[0].url", "must be an address", "write http://house"),
        ("webhooks:\n  - url: ftp://h/x\n", 2, "webhooks[0].url", "must be an address", ""),
        ("webhooks:\n  - name: x\n", 2, "webhooks[0]", "url", ""),
        (
            "webhooks:\n  - url: http://h\n    secret: abcdefgh\n    secret_file: x\n",
            4, "webhooks[0].secret_file", "stands beside secret", "keep one",
        ),
        ("webhooks:\n  - {url: 'http://h', events: [sms]}\n", 2, "webhooks[0].events[0]", "must be one of", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_answered_with_its_line_and_the_way_out(tmp_path, text, line, path, message, hint):
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, text)
    found = [(each.line, each.path, each.hint) for each in caught.value.problems if message in each.message]
    assert [each[:2] for each in found] == [(line, path)]
    assert hint in found[0][2]


def test_a_certificate_that_is_not_there_is_said_at_once(tmp_path):
    (tmp_path / "k.pem").write_text("")
    problem = only(tmp_path, "web:\n  tls: {cert: c.pem, key: k.pem}\n")
    assert problem.path == "web.tls.cert"
    assert "there is no file" in problem.message


def test_a_short_secret_in_a_file_is_refused(tmp_path):
    (tmp_path / "token").write_text("short\n")
    assert "5 characters" in only(tmp_path, "web:\n  tokens:\n    - token_file: token\n").message
