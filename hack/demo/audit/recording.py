"""Everything that a check read of a run, in one file: so that it can be made again without the programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from demo.audit.answers import Answers
from demo.audit.story import NodeStory, Span


@dataclass(frozen=True, slots=True)
class Recording:
    """What the simulator said, what was done to the nodes, and what the aggregator answered."""

    facts: dict[str, Any]
    stories: Mapping[tuple[str, str], NodeStory]
    answers: Answers


def write(recording: Recording, file: Path) -> None:
    """As JSON, a slice a line, so that two of them can be compared."""
    answers = asdict(recording.answers)
    slices = answers.pop("slices")
    stories = [[*key, asdict(story)] for key, story in recording.stories.items()]
    head = json.dumps({"facts": recording.facts, "stories": stories, "answers": answers})
    lines = ",\n".join(json.dumps(fields) for fields in slices)
    file.write_text(f'{head[:-1]},\n"slices": [\n{lines}\n]}}\n', encoding="utf-8")


def read(file: Path) -> Recording:
    """The recording in *file*."""
    kept = json.loads(file.read_text(encoding="utf-8"))
    stories = {(cluster, node): _story(fields) for cluster, node, fields in kept["stories"]}
    return Recording(kept["facts"], stories, Answers(slices=kept["slices"], **kept["answers"]))


def _story(fields: Mapping[str, Any]) -> NodeStory:
    return NodeStory(
        fields["started_ns"],
        fields["grace_ns"],
        [Span(**span) for span in fields["without_agent"]],
        [Span(**span) for span in fields["without_kubelet"]],
    )
