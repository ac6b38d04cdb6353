"""Print digest and name of every file that the lock files allow on Linux, from uv's pylock.toml.

A lock file has digests without names. tests/unit/test_pins.py compares the two, to tell whether
each package can be installed on each processor. Standard library only; lock.sh runs it.
"""

import re
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

# Wheels of other systems and of older versions of Python are left out.
KEPT = re.compile(r"\.tar\.gz$|\.zip$|none-any\.whl$|(cp313|abi3|none)-manylinux\S*\.whl$")

found = set()
for lock in sys.argv[1:]:
    for package in tomllib.loads(Path(lock).read_text(encoding="utf-8"))["packages"]:
        for file in [*package.get("wheels", []), *filter(None, [package.get("sdist")])]:
            name = unquote(file["url"].rpartition("/")[2])
            if KEPT.search(name):
                found.add((name, file["hashes"]["sha256"]))
for name, digest in sorted(found):
    print(f"{digest}\t{name}")
