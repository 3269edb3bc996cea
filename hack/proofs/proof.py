"""How a proof speaks: a table for people, build/proofs/NAME.json for machines, and an exit code."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CI, FULL = "ci", "full"


@dataclass(frozen=True)
class Bar:
    """A bound that a figure has to keep; *holds* is False where the figure could not be measured."""

    figure: str
    bound: str
    value: int | float | None
    form: str
    holds: bool


@dataclass(frozen=True)
class Proof:
    """What a proof found. *compared* is how many things were compared; nothing compared proves nothing."""

    name: str
    seed: int
    inputs_sha256: str
    seconds: float
    compared: int
    bars: tuple[Bar, ...]
    figures: Mapping[str, object]

    @property
    def passed(self) -> bool:
        return self.compared > 0 and bool(self.bars) and all(bar.holds for bar in self.bars)

    def publish(self, folder: Path) -> int:
        """Print the table, write the file; the exit code."""
        document = {
            "name": self.name,
            "commit": commit(),
            "seed": self.seed,
            "inputs_sha256": self.inputs_sha256,
            "seconds": round(self.seconds, 3),
            "compared": self.compared,
            "passed": self.passed,
            "bars": [asdict(bar) for bar in self.bars],
            "figures": dict(self.figures),
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        print(f"{self.name}: seed {self.seed}, inputs {self.inputs_sha256[:16]}, {self.seconds:.1f} s")
        rows: list[tuple[object, ...]] = [
            ("compared", "> 0", self.compared, "ok" if self.compared else "MISSED")
        ]
        rows += [(bar.figure, bar.bound, bar.value, "ok" if bar.holds else "MISSED") for bar in self.bars]
        print(table(("figure", "bar", "value", ""), rows))
        return 0 if self.passed else 1


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Columns as wide as their widest cell."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def commit() -> str | None:
    """The commit of this checkout; None outside of one."""
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    return asked.stdout.strip() or None
