"""The memory of PINs survives restarts and never says "not tried" for want of a disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sms_bridge.core.errors import StoreError
from sms_bridge.store.pins import PinFile


async def test_what_was_tried_is_known_after_a_restart_until_it_was_accepted(tmp_path: Path) -> None:
    file = tmp_path / "pins"
    assert not await PinFile(file).tried("sim:1")
    await PinFile(file).record("sim:1")
    await PinFile(file).record("sim:2")
    assert await PinFile(file).tried("sim:1")
    await PinFile(file).accepted("sim:1")
    assert not await PinFile(file).tried("sim:1")
    assert await PinFile(file).tried("sim:2")
    assert os.listdir(tmp_path) == ["pins"]


async def test_a_disk_that_refuses_is_an_error_and_not_a_no(tmp_path: Path) -> None:
    missing = PinFile(tmp_path / "no such folder" / "pins")
    with pytest.raises(StoreError):
        await missing.record("sim:1")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError):
        await PinFile(tmp_path / "folder").tried("sim:1")
