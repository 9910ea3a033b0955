"""The SQLite journal."""

from sms_bridge.store.journal import Journal, Opened

__all__ = ["Journal", "Opened"]
