"""Options changed by request while the bridge runs."""

from __future__ import annotations

from pathlib import Path

from tests.support.stack import running


def test_options_are_adopted_without_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, extra="# people\ncontacts:\n  anna: '+36301234567'  # sister\n") as stack:
        observer = stack.observer
        answer = observer.request("options", options={"contacts": {"cili": "+36305555555"}, "limits": {"max_parts": 1}})
        assert answer["status"] == "ok", answer
        assert answer["data"]["restart_required"] is False
        observer.publish("out", {"id": "a", "to": "@cili", "text": "short"})
        assert observer.wait_state("a", "sent", "rejected")["to"] == "+36305555555"
        observer.publish("out", {"id": "b", "to": "@anna", "text": "long " * 40})
        assert observer.wait_state("b", "rejected")["error"]["code"] == "too_long"
        written = stack.bridge.config.read_text(encoding="utf-8")
        assert "  anna: '+36301234567'  # sister" in written
        wrong = observer.request("options", options={"limits": {"max_parts": 0}})
        assert wrong["error"] == "limits.max_parts: must be a whole number from 1 to 255"
        assert stack.bridge.config.read_text(encoding="utf-8") == written
        assert observer.request("options")["status"] == "error"
        assert "not available" in observer.request("modem/at", modem="modem0", command="AT")["error"]

        answer = observer.request("modem/options", modem="modem0", options={"number": "+36209999999", "baudrate": 9600})
        assert answer["data"]["restart_for"] == ["modems.modem0.baudrate"]
        observer.wait_for("bridge/info", lambda info: info["restart_required"] is True)
        stack.emulation.do("deliver", modem=0, **{"from": "+36301112222", "text": "to whom"})
        received = observer.wait_for("in", lambda message: message["text"] == "to whom")
        assert received.payload["to"] == "+36209999999"


def test_at_commands_by_request(tmp_path: Path) -> None:
    with running(tmp_path, latency="1.5", extra="at_console: {enabled: true}\n") as stack:
        observer = stack.observer
        answer = observer.request("modem/at", modem="modem0", command="AT+CSQ")
        assert answer["data"]["lines"][0].startswith("+CSQ:"), answer
        assert "not one AT command" in observer.request("modem/at", modem="modem0", command="AT+CSQ;+CMGD=1")["error"]
        assert "there are: modem0" in observer.request("modem/at", modem="x", command="AT")["error"]
        assert observer.request("modem/at", modem="modem0", command="AT+NOSUCH")["status"] == "error"
        assert "file only" in observer.request("options", options={"at_console": {"enabled": False}})["error"]
        observer.publish("out", {"id": "a", "to": "+36301234567", "text": "under way"})
        observer.wait_state("a", "sending")
        answers = [observer.request("modem/at", modem="modem0", command="AT+CSQ") for _ in range(3)]
        assert any("is being sent" in answer.get("error", "") for answer in answers), answers
        observer.wait_state("a", "delivered")
