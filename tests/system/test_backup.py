"""A backup while the bridge runs, its end, and what a bridge that begins from the backup does and does not."""

from __future__ import annotations

import io
import json
import signal
import tarfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sms_bridge.core.errors import CoreError
from sms_bridge.parts.restore import restore
from tests.support.stack import Stack, running

PIN = "4711"
EXTRA = "quota: {per_day: 100}\n"


def restored(stack: Stack, archive: Path, *, hold: bool = True) -> object:
    done = restore(archive, stack.bridge.data, datetime.now(UTC), hold=hold)
    stack.bridge.start()
    return done


def test_nothing_is_sent_twice_after_a_restore(tmp_path: Path) -> None:
    with running(tmp_path, extra=EXTRA) as stack:
        observer = stack.observer
        observer.publish("out", {"id": "before", "to": "+36301110001", "text": "sent before the backup"})
        observer.wait_state("before", "delivered")
        later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        observer.publish("out", {"id": "later", "to": "+36301110002", "text": "in an hour", "send_at": later})
        observer.wait_state("later", "scheduled")
        stack.emulation.do("deliver", modem=0, **{"from": "+36301112222", "text": "came before"})
        came = observer.wait_for("in", lambda message: message["text"] == "came before").payload
        stack.emulation.do("unplug", modem=0)
        observer.wait_for("modem/modem0", lambda modem: modem["state"] == "offline")
        observer.publish("out", {"id": "waits", "to": "+36301110003", "text": "waits in the backup"})
        observer.wait_state("waits", "queued")
        answer = observer.request("backup")
        assert answer["status"] == "ok", answer
        archive = Path(answer["data"]["file"])
        stack.emulation.do("plug", modem=0)
        observer.wait_state("waits", "delivered")
        with pytest.raises(CoreError, match="a bridge works in"):
            restore(archive, stack.bridge.data, datetime.now(UTC))

        stack.bridge.stop(signal.SIGKILL)
        observer.wait_for("bridge/state", lambda state: state["state"] == "offline")
        seen = len(observer.seen)
        done = restored(stack, archive)
        assert (done.orders.held, done.orders.kept) == (1, 1)
        assert done.aside is not None
        assert (done.aside / "journal.db").stat().st_size
        stack.wait_ready(since=seen)
        found = observer.wait_for("status", lambda s: s["id"] == "waits", since=seen).payload
        assert (found["state"], found["error"]["code"]) == ("unknown", "restored")
        observer.wait_for("bridge/event", lambda e: e["event_type"] == "restored" and e["held"] == 1, since=seen)
        # What is known is known still: the same id, the same message of the SIM, the count of the day.
        observer.publish("out", {"id": "before", "to": "+36301110001", "text": "sent before the backup"})
        observer.wait_for("status", lambda s: s["id"] == "before" and s["state"] == "delivered", since=seen)
        page = observer.request("inbox/list")["data"]["messages"]
        assert [message["id"] for message in page] == [came["id"]]
        observer.wait_for("bridge/modems", lambda rows: rows[0]["quota"].get("day", {}).get("used") == 1, since=seen)
        assert observer.request("message/get", id="later")["data"]["orders"][0]["state"] == "scheduled"
        time.sleep(0.3)
        assert len(stack.emulation.ledger("submit")) == 2, "each was handed over once"
        # A person decides.
        assert observer.request("message/resend", id="waits")["data"]["resent"] == 1
        observer.wait_for("status", lambda s: s["id"] == "waits" and s["state"] == "delivered", since=seen)


def test_what_a_backup_holds(tmp_path: Path) -> None:
    extra = f'    pin: "{PIN}"\ncontacts: {{anna: "+36301234567"}}\n'
    with running(tmp_path, extra=extra, ready=False) as stack:
        stack.observer.wait_for("bridge/state", lambda state: state["state"] == "online")
        plain = stack.observer.request("backup")["data"]
        assert plain["left_out"] == ["modems[0].pin"]
        with tarfile.open(plain["file"]) as tar:
            names = set(tar.getnames())
            text = tar.extractfile("sms-bridge.yaml").read().decode()  # type: ignore[union-attr]
            manifest = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert {"manifest.json", "journal.db", "sms-bridge.yaml", "client-id"} <= names
        assert PIN not in text
        assert "anna" in text
        assert manifest["secrets"] is False
        time.sleep(1.0)  # the name has the second
        whole = stack.observer.request("backup", secrets=True)["data"]
        with tarfile.open(whole["file"]) as tar:
            assert PIN in tar.extractfile("sms-bridge.yaml").read().decode()  # type: ignore[union-attr]
        assert Path(whole["file"]).stat().st_mode & 0o777 == 0o600
        assert not list(stack.bridge.data.glob(".*backup*"))


def _tar(path: Path, **files: bytes) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, raw in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/"))
            entry.size = len(raw)
            tar.addfile(entry, io.BytesIO(raw))
    return path


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"..__x": b"1"}, "it has '../x'"),
        ({"__etc__passwd": b"1"}, "no backup"),
        ({"journal.db": b"x"}, "no manifest"),
        ({"manifest.json": b"[]"}, "no manifest"),
        ({"manifest.json": b'{"format": 2}'}, "newer"),
        ({"manifest.json": b"{" * 9}, "no manifest"),
        (
            {"manifest.json": b'{"format":1,"made_at":"x","version":"1","journal_format":1,"secrets":false,'
             b'"files":{"journal.db":"00"},"left_out":[]}', "journal.db": b"x"},
            "is not what it was",
        ),
    ],
)  # fmt: skip
def test_what_is_no_backup_changes_nothing(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "journal.db").write_bytes(b"as it was")
    with pytest.raises(CoreError, match=words):
        restore(_tar(tmp_path / "a.tar.gz", **files), folder, datetime.now(UTC))
    with pytest.raises(CoreError, match="there is no file"):
        restore(tmp_path / "none.tar.gz", folder, datetime.now(UTC))
    (tmp_path / "noise.tar.gz").write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(CoreError, match="no backup"):
        restore(tmp_path / "noise.tar.gz", folder, datetime.now(UTC))
    assert (folder / "journal.db").read_bytes() == b"as it was"
    assert {one.name for one in folder.iterdir()} == {"journal.db", "lock"}
