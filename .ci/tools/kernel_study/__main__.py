"""``python -m tools.kernel_study OUT``: write the folder that the machine with the GPU needs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.kernel_study.folder import write_folder
from tools.kernel_study.problems import PROBLEMS


def main(arguments: list[str]) -> int:
    """Write it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.kernel_study", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="OUT", help="where; made if it is missing")
    folder: Path = parser.parse_args(arguments).folder
    try:
        print(f"{folder}: {write_folder(folder, PROBLEMS)}")
    except OSError as error:
        print(f"error: {error}\nhint: name a folder that can be written", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
