"""SMPP 3.4 towards message centres: framing, PDUs, one connection, an account's policy, receipts, the route."""
