"""``nox -s lint``: parse and validate the shaders of the kernel templates and of the page.

Problems come from the tables of matches in ``tests/golden``, from the tuning table, and from a
list here that has every branch of every template. Each distinct shader of their variants is
validated by Tint, the WGSL compiler of Chromium, which the npm package ``webgpu`` (Dawn) brings
to Node.js. Dawn's null backend needs no GPU and no driver, and has f16, subgroups and subgroup
matrices. Other parsers were tried: naga (in wgpu 0.32) refuses the subgroup matrix extension,
and ``wgsl_reflect`` 1.6 refuses valid shaders. A shader gets a device with the
features that its variant declares and no others, so that a feature which is enabled but not
declared is a fault too.

A fault is reported with the file and the line of the rendered shader, which is kept in
``out/wgsl``.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypedDict

from wsd.bundle.npm import NODE_HINT, install_packages, source_folder
from wsd.errors import ToolError, WsdError
from wsd.kernels.problem import AttentionProblem, Conv2d, GemmProblem, NormSumsProblem, Weights
from wsd.kernels.registry import PROBLEM_NAMES, Problem
from wsd.kernels.select import select_variants
from wsd.kernels.tuning.table import tuned_problem_keys
from wsd.kernels.variant import (
    BASELINE_MAX_SHARED_BYTES,
    BASELINE_MAX_THREADS,
    F16,
    SUBGROUP_MATRIX,
    SUBGROUPS,
    Variant,
)
from wsd.util.process import find_program

# WGSL's names of extensions, and WebGPU's of the features that bring them.
_FEATURES = {
    "f16": F16,
    "subgroups": SUBGROUPS,
    "chromium_experimental_subgroup_matrix": SUBGROUP_MATRIX,
}
ROOT = Path(__file__).resolve().parents[2]
TABLES = ROOT / "tests" / "golden"
PAGE = ROOT / "web" / "src"
FAULTY = ROOT / "out" / "wgsl"

_PROBLEMS = {name: problem for problem, name in PROBLEM_NAMES.items()}
_KEY = re.compile(r"(?:linear|conv(\d+)s(\d+)) (\d+)x(\d+)x(\d+) (\w+)")
_NUMBER = re.compile(r"(?<![\w.])\d[\w.]*")
_EPILOGUES = {
    "value": (),
    "(value + e0[n])": ("bias",),
    "((value * e0[n]) + e1[n])": ("scale", "bias"),
    "((value + e0[n]) + e1[at])": ("bias", "residual"),
    "(value * (1.0f / (1.0f + exp(-value))))": (),
    "(value * 0.5f * (1.0f + erf(value * 0.70710678f)))": (),
}


@dataclass(frozen=True)
class Shader:
    """A shader to check.

    Attributes:
        name: what it is, for reports.
        code: its WGSL.
        features: WebGPU features that its device has.
        pipeline: whether a pipeline must be possible within WebGPU's default limits.
    """

    name: str
    code: str
    features: tuple[str, ...] = ()
    pipeline: bool = False


@dataclass(frozen=True)
class Fault:
    """What is wrong with a shader; line and column start at 1 and are 0 if there is no place."""

    shader: Shader
    line: int
    column: int
    message: str


def list_problems(tables: Path = TABLES) -> Iterator[Problem]:
    """Yield the problems whose variants are checked.

    Args:
        tables: folder with the tables of matches.
    """
    for path in sorted(tables.glob("matches-*.json")):
        for table in json.loads(path.read_text(encoding="utf-8")).values():
            yield from (read_problem(entry["problem"]) for entry in table["matched"])
    yield from map(problem_of_key, tuned_problem_keys())
    yield from _list_gemm_problems()
    yield from _list_attention_problems()
    yield from _list_norm_problems()


def read_problem(entry: dict[str, object]) -> Problem:
    """Return a problem of a table of matches; it has the default buffers and epilogue."""
    values = {name: value for name, value in entry.items() if name != "kind"}
    if isinstance(conv := values.get("conv"), dict):
        values["conv"] = Conv2d(**conv)
    problem: type[Problem] = _PROBLEMS[str(entry["kind"])]  # type: ignore[index]
    return problem(**values)  # type: ignore[arg-type]


def problem_of_key(key: str) -> GemmProblem:
    """Return a problem that has a key of the tuning table.

    Raises:
        ValueError: if it is no key.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        raise ValueError(key)
    m, n, k = map(int, found.group(3, 4, 5))
    weights: Weights = found[6]  # type: ignore[assignment]
    conv = None
    if found[1]:
        kernel, stride = int(found[1]), int(found[2])
        # The key does not hold the image's shape, so the image is one row of pixels.
        channels, width = k // kernel**2, m * stride
        conv = Conv2d(1, kernel, width, channels, 1, m, kernel, stride, kernel // 2)
    return GemmProblem(m, n, k, weights, conv)


def _list_gemm_problems() -> Iterator[GemmProblem]:
    weights: tuple[Weights, ...] = ("float32", "float16", "int8")
    for stored, (epilogue, operands) in product(weights, _EPILOGUES.items()):
        buffers = ("result", "a", "w", *operands)
        for m, n, k in ((1, 1280, 320), (77, 768, 3072), (1024, 640, 640), (4095, 321, 1280)):
            yield GemmProblem(m, n, k, stored, None, buffers, epilogue)
        for conv, n in (
            (Conv2d(2, 64, 64, 320, 64, 64, 3, 1, 1), 320),
            (Conv2d(2, 32, 32, 640, 16, 16, 3, 2, 1), 1280),
            (Conv2d(1, 16, 16, 640, 32, 32, 3, 1, 1, upsample=2), 640),
            (Conv2d(1, 33, 31, 96, 33, 31, 1, 1, 0), 1280),
        ):
            m = conv.batch * conv.out_height * conv.out_width
            k = conv.kernel**2 * conv.channels
            yield GemmProblem(m, n, k, stored, conv, buffers, epilogue)


def _list_attention_problems() -> Iterator[AttentionProblem]:
    head_dims = (8, 16, 24, 32, 40, 48, 64, 72, 80, 96, 128, 160, 256, 512)
    for head_dim, keys, causal in product(head_dims, (77, 4096), (False, True)):
        # 4096 queries are enough operations for variants to be selected.
        yield AttentionProblem(2, 4096, keys, 8, head_dim, head_dim**-0.5, causal)
    buffers = ("result", "q", "k", "v", "bias")
    for keys, causal in product((77, 256), (False, True)):
        yield AttentionProblem(2, 1024, keys, 8, 64, 1.0, causal, True, buffers)


def _list_norm_problems() -> Iterator[NormSumsProblem]:
    shapes = (
        (77, 1, 1, 768), (8192, 1, 1, 64), (8192, 1, 1, 4), (2, 35, 4, 10), (1, 1024, 32, 20),
        (2, 4096, 32, 10), (1, 64, 2, 6),
    )  # fmt: skip
    for shape, centered in product(shapes, (False, True)):
        buffers = ("result", "x", "totals") if centered else ("result", "x")
        yield NormSumsProblem(*shape, centered, buffers)


def list_shaders(problems: Iterable[Problem]) -> list[Shader]:
    """Return the distinct shaders of all variants of some problems.

    Of variants for tuning alone, shaders count as one if their heads differ in numbers alone: the
    tiles, on which limits depend, are in their bodies.
    """
    found: dict[tuple[str, tuple[str, ...]], Shader] = {}
    forms: set[tuple[str, str, tuple[str, ...]]] = set()
    for problem in dict.fromkeys(problems):
        for variant in select_variants(problem):
            for number, launch in enumerate(variant.launches):
                code = launch.head + launch.body
                form = (_NUMBER.sub("0", launch.head), launch.body, variant.features)
                is_known = variant.tuning_only and form in forms
                if is_known or (code, variant.features) in found:
                    continue
                forms.add(form)
                name = f"{variant.name}, launch {number}, {problem}"
                fits = _fits_default_limits(variant)
                found[code, variant.features] = Shader(name, code, variant.features, fits)
    return list(found.values())


def list_page_shaders(folder: Path = PAGE) -> list[Shader]:
    """Return the shaders that the page's own code runs.

    A file that computes nothing has functions that stand before each shader of its folder.

    Args:
        folder: with files that end in ``.wgsl``.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.wgsl"))}
    functions: defaultdict[Path, str] = defaultdict(str)
    for path, text in texts.items():
        if "@compute" not in text:
            functions[path.parent] += text
    return [
        Shader(path.name, functions[path.parent] + text, features, SUBGROUP_MATRIX not in features)
        for path, text in texts.items()
        if "@compute" in text
        for features in [_enabled_features(text)]
    ]


def _enabled_features(text: str) -> tuple[str, ...]:
    """Return the WebGPU features of a shader's ``enable`` directives."""
    return tuple(name for word, name in _FEATURES.items() if f"enable {word};" in text)


def _fits_default_limits(variant: Variant) -> bool:
    """Tell whether a pipeline is possible on a device without a GPU.

    The subgroups of Dawn's null backend have 128 threads, those that the kernels' subgroup
    matrices need have 32: pipelines of these are not tried.
    """
    return (
        variant.threads <= BASELINE_MAX_THREADS
        and variant.shared_bytes <= BASELINE_MAX_SHARED_BYTES
        and SUBGROUP_MATRIX not in variant.features
    )


def find_faults(shaders: Sequence[Shader]) -> list[Fault]:
    """Return what is wrong with some shaders.

    Raises:
        ToolError: if Node.js is missing, or Dawn cannot be installed or started.
    """
    answers = zip(shaders, _ask_tint(shaders), strict=True)
    return [
        Fault(shader, fault["line"], fault["column"], fault["message"])
        for shader, faults in answers
        for fault in faults
    ]


class _TintFault(TypedDict):
    """A fault as ``web/node/check_wgsl.mjs`` answers it."""

    line: int
    column: int
    message: str


def _ask_tint(shaders: Sequence[Shader]) -> list[list[_TintFault]]:
    folder = source_folder("web/node")
    install_packages(folder)
    node = find_program("node", NODE_HINT)
    requests = "".join(
        json.dumps({"code": s.code, "features": s.features, "pipeline": s.pipeline}) + "\n"
        for s in shaders
    )
    done = subprocess.run(
        [node, folder / "check_wgsl.mjs"],
        input=requests,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    # Dawn prints warnings among the answers.
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or len(answers) != len(shaders):
        output = done.stderr.strip()[-1000:]
        raise ToolError(
            f"check_wgsl.mjs ended with code {done.returncode} after {len(answers)} of "
            f"{len(shaders)} shaders: {output}",
            "run: rm -r web/node/node_modules, then this command again",
        )
    return [answer["faults"] for answer in answers]


def describe_fault(fault: Fault, folder: Path = FAULTY) -> str:
    """Keep a faulty shader in a folder, and return its place there with what is wrong."""
    shader = fault.shader
    digest = hashlib.sha256(shader.code.encode()).hexdigest()[:8]
    path = folder / f"{shader.name.split(',')[0]}-{digest}.wgsl"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(shader.code, encoding="utf-8")
    lines = shader.code.splitlines()
    quoted = f"\n  {lines[fault.line - 1].strip()}" if 0 < fault.line <= len(lines) else ""
    place = f"{path}:{fault.line}:{fault.column}"
    return f"{place}: {fault.message}{quoted}\n  in {shader.name}"


def main() -> int:
    """Check all shaders, print what is wrong, and return the exit code."""
    shaders = [*list_shaders(list_problems()), *list_page_shaders()]
    try:
        faults = find_faults(shaders)
    except WsdError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 2
    # A fault of a template is in many shaders: one of them tells where it is.
    distinct = {(fault.shader.name.split(",")[0], fault.message): fault for fault in faults}
    for fault in distinct.values():
        print(describe_fault(fault), file=sys.stderr)
    print(f"{len(shaders)} distinct shaders checked, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
