"""
One run in a process of its own: python -m accuracy.run ORDER SCORE reads what is wished for, and writes what was found.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

from accuracy.score import Score, score
from accuracy.stage import Order, Recording, Stage
from demo.child import Trouble


def play(order: Order) -> tuple[Recording, Score]:
    """Run it and score it. What is left of a run that fails stays in its folder. Raises Trouble."""
    stage = Stage(order)
    try:
        recording = stage.play()
    except Trouble as trouble:
        raise Trouble(f"{trouble.reason}; logs are in {stage.folder}", trouble.last_words) from None
    found = score(recording, order.scenario.read_text(encoding="utf-8"))
    shutil.rmtree(stage.folder, ignore_errors=True)
    return recording, found


def order_as_json(order: Order) -> str:
    """For the file that this module reads."""
    folder = None if order.agent_folder is None else str(order.agent_folder)
    return json.dumps(
        {
            "scenario": str(order.scenario),
            "seed": order.seed,
            "window_s": order.window_s,
            "length_s": order.length_s,
            "lead_s": order.lead_s,
            "agent_folder": folder,
        }
    )


def main(order_file: Path, score_file: Path) -> int:
    """The exit status."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    wished = json.loads(order_file.read_text(encoding="utf-8"))
    folder = wished.pop("agent_folder")
    order = Order(**wished | {"scenario": Path(wished["scenario"])})
    if folder is not None:
        order = replace(order, agent_folder=Path(folder))
    try:
        _, found = play(order)
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    score_file.write_text(json.dumps(found.as_json()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
