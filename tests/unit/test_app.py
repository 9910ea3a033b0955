"""What the composition root keeps by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from sms_bridge.app import _client_id
from sms_bridge.core.errors import StoreError


def test_the_client_id_is_made_once(tmp_path: Path) -> None:
    made = _client_id(tmp_path)
    assert made.startswith("sms-bridge-")
    assert _client_id(tmp_path) == made
    assert [path.name for path in tmp_path.iterdir()] == ["client-id"]


@pytest.mark.parametrize("left", [b"", b"\n", b"\0" * 20, b"\xff\xfe", b"a b"])
def test_what_a_power_cut_left_of_the_client_id_is_replaced(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "client-id").write_bytes(left)
    made = _client_id(tmp_path)
    assert made.startswith("sms-bridge-")
    assert _client_id(tmp_path) == made


def test_a_disk_that_refuses_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="client-id"):
        _client_id(tmp_path / "no such folder")
