"""The board of docs/leaderboard.md: `crosswire-matrix leaderboard` with this checkout's folders.

python -m benchmarks.leaderboard                       # install, judge, and write docs/leaderboard.md
python -m benchmarks.leaderboard --gateway 'lite*'     # only some; the others keep their last runs
python -m benchmarks.leaderboard --draw                # only write the page from the runs that there are
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from crosswire.conformance.target.leaderboard import main as leaderboard

ROOT = Path(__file__).resolve().parent.parent

FOLDERS = ("--folder", str(ROOT / "build" / "leaderboard"), "--page", str(ROOT / "docs" / "leaderboard.md"))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; the folders given here go before the checkout's."""
    return leaderboard([*FOLDERS, *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
