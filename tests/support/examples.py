"""How many examples a property gets that needs more than a function call for each of them."""

from __future__ import annotations

import os

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
NO_HANG = 20.0  # seconds of the real clock for one example that takes a millisecond


def examples(quick: int, nightly: int = 100_000) -> int:
    """`max_examples`: `quick` in each run of the tests, `nightly` in the profile of that name."""
    return nightly if NIGHTLY else quick
