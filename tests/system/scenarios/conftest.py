"""One stack for the scenarios that neither kill nor starve it: each gets it with all modems well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.scenes import hush, mend
from tests.support.stack import Stack, running

RESULT_TIMEOUT = 1.5
WAITS = {
    "sending": {"result_timeout": RESULT_TIMEOUT},
    "inbound": {"reassembly_timeout": 2.0, "sweep_interval": 2.0},
}


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("scenarios")
    with running(directory, modems=2, extra="sending:\n  retry_delay: 1s\n", waits=WAITS) as started:
        hush(started)
        yield started


@pytest.fixture
def stack(shared: Stack) -> Iterator[Stack]:
    yield shared
    mend(shared)
