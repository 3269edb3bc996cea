"""The store in memory, by the contract of the real one."""

import pytest

from contracts.memory_store import MemoryStore
from contracts.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
