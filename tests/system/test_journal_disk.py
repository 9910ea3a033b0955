"""A disk that is full or read-only: nothing is acknowledged that is not stored, and it heals by itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sms_bridge.core.errors import StoreError, StoreRefused
from sms_bridge.store import Journal
from tests.support.desk import ANNA, STICK, open_desk, sent


def mounting() -> list[str] | None:
    """What to put in front of a command so that it may mount; None: nothing helps here."""
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    tried = subprocess.run([*namespace, "true"], capture_output=True, check=False)
    return namespace if tried.returncode == 0 else None


def run(directory: Path, how: str) -> dict[str, Any]:
    directory.mkdir()
    prefix: list[str] = []
    if how != "rlimit":
        found = mounting()
        if found is None:
            how = "rlimit"  # a machine without namespaces: the limit on file sizes stands in for the full disk
        prefix = found or []
    command = [*prefix, sys.executable, "-m", "tests.support.journal_full", str(directory), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    found_out: dict[str, Any] = json.loads(done.stdout)
    return found_out


@pytest.mark.parametrize("how", ["tmpfs", "rlimit"])
def test_a_full_disk_refuses_and_heals(tmp_path, how):
    found = run(tmp_path / "disk", how)
    assert len(found["acked"]) > 20
    assert found["acked"][-1] == "after"
    assert all(hint for hint in found["hints"])
    assert found["begun"] is None, "a part was begun that was not committed"
    assert found["begun_after"] is True
    assert all(found["kept"][id] for id in found["acked"])
    assert found["again_repeated"] == [False, False], "a refused order was stored all the same"
    assert not any(found["kept"][id] for id in found["refused"][2:])
    assert found["problem"] is None


async def test_a_read_only_disk_is_a_sentence_at_the_start(tmp_path):
    if mounting() is None:  # then we are not root either, and permissions count
        await (await Journal.open(tmp_path)).close()
        tmp_path.chmod(0o555)
        with pytest.raises(StoreRefused, match="cannot be opened"):
            await Journal.open(tmp_path)
        tmp_path.chmod(0o755)
        return
    found = await asyncio.to_thread(run, tmp_path / "disk", "read-only")
    assert "cannot be opened" in found["refused"]
    assert "read-only" in found["hint"]


async def test_a_disk_that_turns_read_only_loses_nothing_that_was_acknowledged(tmp_path):
    async with open_desk(tmp_path) as desk:
        await desk.order("before")
        job = await desk.dispatcher.claim(STICK)
        assert await desk.dispatcher.begin(job, 0)
        # What SQLite says when the kernel has remounted the card read-only.
        await desk.journal.write(lambda tx: None)
        desk.journal._writer._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(StoreError, match="readonly") as caught:
            await desk.order("during")
        assert "read-only" in caught.value.hint
        await desk.order("after")
        assert await desk.service.get("during") == []
        assert [o["state"] for o in await desk.service.get("before")] == ["sending"]
        assert (await desk.service.get("after"))[0]["to"] == ANNA
        await desk.send(sent(), job=await desk.dispatcher.claim(STICK))
        assert desk.states("after")[-1] == "sent"
