"""`python -m sms_bridge` is `sms-bridge`."""

from __future__ import annotations

from sms_bridge.cli import main

if __name__ == "__main__":
    main()
