"""The AT engine: framing, one exchange at a time, typed commands and parsers (TS 27.005, TS 27.007)."""
