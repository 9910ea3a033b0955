"""The guest's program: the tests of this folder, with the host as their terminal."""

from __future__ import annotations

import os
import traceback

from tests.kernel.host import Host, host
from tests.kernel.machine import END_OF_OUTPUT

HANGS = 150  # seconds in one step of a test
FOLDER = "tests/kernel"


def main() -> None:
    output = os.open(Host.device("output"), os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    code = 1
    try:
        code = run(host().ask("begin")["arguments"])
    except BaseException:
        traceback.print_exc()
    os.write(1, END_OF_OUTPUT)
    host().ask("done", code=code)  # the last thing: the machine is switched off


def run(arguments: list[str]) -> int:
    import pytest

    # A thread that the kernel does not give back shows where it is.
    arguments = ["-o", f"faulthandler_timeout={HANGS}", *arguments]
    plugins = [word for name in ("cacheprovider", "xdist", "hypothesispytest") for word in ("-p", f"no:{name}")]
    chosen = any(word.startswith(FOLDER) for word in arguments)
    return int(pytest.main([*plugins, *arguments, *(() if chosen else (FOLDER,))]))


if __name__ == "__main__":
    main()
