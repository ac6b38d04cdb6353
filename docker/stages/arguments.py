"""Check MODELS, DTYPE and LAYOUT before anything long begins; standard library only.

Prints them as assignments that a shell can read.
"""

import re
import sys

from wsd.errors import WsdError
from wsd.models.registry import find_family
from wsd.spec.classic_names import CLASSIC, LAYOUTS, check_names
from wsd.spec.precision import DTYPES

# FAMILY or NAME:FAMILY, then =HUB_ID@COMMIT if its weights are there: a commit, so that the build
# names what it takes.
ENTRY = re.compile(
    r"((?P<name>[a-z0-9][a-z0-9-]*):)?(?P<family>[a-z0-9-]+)"
    r"(=(?P<hub>[\w.-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40}))?"
)


def complain(what: str, hint: str, argument: str = "MODELS") -> None:
    sys.exit(f"error: build argument {argument}: {what}\nhint: {hint}")


models, dtypes, layout = sys.argv[1:]
names = []
pipelines = []
for entry in models.split(","):
    found = ENTRY.fullmatch(entry)
    if found is None:
        complain(
            f"{entry!r} is no model",
            "write FAMILY, NAME:FAMILY or NAME:FAMILY=OWNER/REPOSITORY@COMMIT, with commas",
        )
    try:
        family = find_family(found["family"])
    except WsdError as error:
        complain(error.message, error.hint)
    names.append(found["name"] or found["family"])
    pipelines.append(family.architecture.diffusers_pipeline)
if len(set(names)) < len(names):
    complain("a model is named twice", "give each a name: NAME:FAMILY")
chosen = (dtypes or DTYPES[0]).split(",")
for dtype in chosen:
    if dtype not in DTYPES:
        complain(f"{dtype!r} is no precision", f"known: {', '.join(DTYPES)}", "DTYPE")
if len(set(chosen)) < len(chosen):
    complain("a precision is named twice", "name each precision once", "DTYPE")
if layout not in LAYOUTS:
    complain(f"{layout!r} is no layout", f"known: {', '.join(LAYOUTS)}", "LAYOUT")
if layout == CLASSIC:
    try:
        check_names(
            (f"{name} in {dtype}", pipeline)
            for name, pipeline in zip(names, pipelines, strict=True)
            for dtype in chosen
        )
    except WsdError as error:
        complain(error.message, error.hint, "LAYOUT")
print(f"MODELS={models}\nDTYPES={','.join(chosen)}\nLAYOUT={layout}")
