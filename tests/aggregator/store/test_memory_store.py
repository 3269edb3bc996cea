"""The store in memory, by the contract of the real one."""

import pytest

from contracts.cluster_contract import ClusterContract
from contracts.held_time_contract import HeldTimeContract
from contracts.lost_time_contract import LostTimeContract
from contracts.memory_store import MemoryStore
from contracts.quarantine_contract import QuarantineContract
from contracts.store_contract import StoreContract


class TestMemoryStore(StoreContract, LostTimeContract, HeldTimeContract, ClusterContract, QuarantineContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()
