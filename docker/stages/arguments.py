"""Check MODELS before anything long begins, and print it; standard library only."""

import re
import sys

from wsd.errors import WsdError
from wsd.zoo import find_family

# NAME, or NAME=HUB_ID@COMMIT: a commit, so that the build names what it takes.
ENTRY = re.compile(r"(?P<name>[a-z0-9-]+)(=(?P<hub>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40}))?")


def complain(what: str, hint: str) -> None:
    sys.exit(f"error: build argument MODELS: {what}\nhint: {hint}")


names = []
for entry in sys.argv[1].split(","):
    found = ENTRY.fullmatch(entry)
    if found is None:
        complain(
            f"{entry!r} is no model", "write NAME or NAME=OWNER/REPOSITORY@COMMIT, with commas"
        )
    try:
        find_family(found["name"])
    except WsdError as error:
        complain(error.message, error.hint)
    names.append(found["name"])
if len(set(names)) < len(names):
    complain("a model is named twice", "name each model once")
print(sys.argv[1])
