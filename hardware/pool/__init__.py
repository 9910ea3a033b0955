"""All modems: found in their plugs, asked who they are, known again wherever they come back."""

from hardware.pool.bindings import Binding, PoolSettings
from hardware.pool.book import MemoryRegister
from hardware.pool.pool import DeviceView, Pool, PoolListener

__all__ = ["Binding", "DeviceView", "MemoryRegister", "Pool", "PoolListener", "PoolSettings"]
