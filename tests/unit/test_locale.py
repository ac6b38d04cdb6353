"""A bundle is the same, byte for byte, whatever the locale of whoever builds and joins it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.compare_bundles import differences

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from wsd.bundle.builder import build_bundle
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.cli.main import main
from wsd.compiler.library import read_library
from wsd.compiler.tvm_compat import tvmjs_source
from wsd.models.registry import find_family
from wsd.util.progress import Progress

library, out, joined = map(Path, sys.argv[1:])
print(sys.getfilesystemencoding(), sys.stdout.encoding, flush=True)
family = find_family("tiny-sd15")
shipped = open_checkpoint(choose_checkpoint(family, None, None), family)
build_bundle(shipped, replace(read_library(library), tvmjs=tvmjs_source()), out, Progress())
sys.exit(main(["join", str(out), "--out", str(joined)]) or main(["verify", str(joined)]))
"""
# Without these, Python takes UTF-8 in the locale C.
STRICT = {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
# What some machines set, and what would decide the encoding in place of the locale.
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONIOENCODING"}
CHARMAPS = Path("/usr/share/i18n/charmaps")
CAN_MAKE_LOCALES = shutil.which("localedef") is not None and CHARMAPS.is_dir()


def make_latin_1(folder):
    """Make a locale in ISO-8859-1, which few machines have; returns the variables that name it."""
    name = "en_US.ISO-8859-1"
    subprocess.run(
        ["localedef", "--no-archive", "-i", "en_US", "-f", "ISO-8859-1", folder / name], check=True
    )
    return {"LOCPATH": str(folder), "LC_ALL": name, "LANG": name}


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "encoding",
    [
        pytest.param("ascii", marks=pytest.mark.exhaustive),
        *(["iso8859-1"] if CAN_MAKE_LOCALES else []),
    ],
)
def test_the_same_bytes_whatever_the_locale(bundle, library, tmp_path, encoding):
    variables = {"LC_ALL": "POSIX"} if encoding == "ascii" else make_latin_1(tmp_path)
    out, joined = tmp_path / "out", tmp_path / "joined"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, library.folder, out, joined],
        env={**ENVIRONMENT, **STRICT, **variables},
        capture_output=True,
        encoding=encoding,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == [encoding if encoding == "ascii" else "iso8859-1"] * 2
    assert list(differences(bundle, out)) == []
    assert list(differences(bundle, joined)) == []
