"""The ``readside`` command."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and answer with its exit code: 0 ok, 1 degraded, 2 failed, 64 wrong usage."""
    from stack.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
