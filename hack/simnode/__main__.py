"""python -m simnode NAME ...: one sub-command a module, each with main(argv) that returns the exit code."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "simulate": "simnode.simulate",
    "node": "simnode.node",
    "check": "simnode.check",
}


def main(argv: list[str]) -> int:
    if not argv or argv[0] not in COMMANDS:
        print(f"usage: python -m simnode {{{','.join(COMMANDS)}}} ...", file=sys.stderr)
        return 0 if argv[:1] in (["-h"], ["--help"]) else 2
    return int(importlib.import_module(COMMANDS[argv[0]]).main(argv[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
