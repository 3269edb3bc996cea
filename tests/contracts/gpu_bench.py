"""A reader of one GPU with its driver in memory and their clock."""

from contracts.hand_clock import HandClock
from contracts.memory_driver import MemoryDriver
from gpucost_agent.readings import GpuReading
from gpucost_agent.sources.driver.driver_calls import DriverTrouble, Why
from gpucost_agent.sources.driver.gpu_reader import GpuReader

PERIOD_US = 167_000
UUID = "GPU-5a5a7118-e550-79a1-597e-7631e126c57a"


class Bench:
    """The driver samples as time passes."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.driver = MemoryDriver()
        self.reader = GpuReader(UUID, self.driver, self.clock)

    @property
    def now_us(self) -> int:
        return self.clock.now().wall_ns // 1_000

    def sample(self, percent: int = 50, pid: int = 0) -> int:
        """A period passes, and the driver takes a sample at its end."""
        self.clock.pass_ns(PERIOD_US * 1_000)
        self.driver.add(self.now_us, percent, pid)
        return self.now_us

    def read(self) -> GpuReading:
        return self.reader.read()

    def fail(self, why: Why, *names: str) -> None:
        """From now on these calls answer nothing."""

        def ask(asked: str) -> None:
            if asked in names:
                raise DriverTrouble(why, "as the test wants it")

        self.driver.ask = ask

    def mend(self) -> None:
        self.driver.ask = lambda _: None
