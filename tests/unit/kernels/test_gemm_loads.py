"""What the threads of a GEMM workgroup load, from the addresses in its WGSL."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from wgsl_as_python import constants, to_python

from wsd.bundle.quantize import encode, round_values
from wsd.kernels.gemm.f16 import F16Tile, f16_gemm
from wsd.kernels.gemm.subgroup_matrix import SubgroupMatrixTile, subgroup_matrix_gemm
from wsd.kernels.gemm.tiled import GemmTile, fits, tiled_gemm
from wsd.kernels.problem import Conv2d, GemmProblem
from wsd.kernels.variant import VECTOR
from wsd.spec.parameter import Parameter

ZEROS = -1
PROBLEMS = {
    "linear": GemmProblem(77, 40, 192, "float16"),
    "conv": Conv2d(2, 9, 7, 32, 9, 7, 3, 1, 1),
    "stride": Conv2d(2, 8, 10, 32, 4, 5, 3, 2, 1),
    "1x1": Conv2d(1, 6, 6, 96, 6, 6, 1, 1, 0),
    "upsample": Conv2d(2, 5, 4, 32, 10, 8, 3, 1, 1, upsample=2),
    "upsample and cut": Conv2d(2, 5, 4, 32, 9, 7, 3, 1, 1, upsample=2),
    "upsample and cut rows": Conv2d(2, 5, 4, 32, 9, 8, 3, 1, 1, upsample=2),
    "two steps a tap": Conv2d(1, 4, 4, 64, 4, 4, 3, 1, 1),
}
PROBLEMS = {
    name: problem
    if isinstance(problem, GemmProblem)
    else GemmProblem(
        problem.batch * problem.out_height * problem.out_width,
        40,
        problem.kernel**2 * problem.channels,
        "float16",
        problem,
    )
    for name, problem in PROBLEMS.items()
}
KERNELS = {
    "tiled": (tiled_gemm, GemmTile(32, 64, 32, 4, 4)),
    "tiled, k of 16": (tiled_gemm, GemmTile(64, 64, 16, 8, 8)),
    "f16": (f16_gemm, F16Tile(64, 64, 32, 8, 4)),
    "subgroup matrix": (subgroup_matrix_gemm, SubgroupMatrixTile(64, 32, 32, 2, 2)),
    "split-K of 3": (tiled_gemm, GemmTile(32, 64, 32, 4, 4, split_k=3)),
    # A workgroup may begin in the middle of a tap.
    "split-K of 6": (tiled_gemm, GemmTile(32, 64, 32, 4, 4, split_k=6)),
}
CASES = {
    f"{kernel}, {problem}": (*KERNELS[kernel], PROBLEMS[problem])
    for kernel in KERNELS
    for problem in PROBLEMS
    if fits(PROBLEMS[problem], KERNELS[kernel][1])
}


def im2col(problem):
    """Return the index of the vec4 that A has at (m, k / 4), ZEROS outside the image."""
    conv = problem.conv
    if conv is None:
        vectors = problem.m * problem.k // VECTOR
        return np.arange(vectors).reshape(problem.m, problem.k // VECTOR)
    channels = conv.channels // VECTOR
    shape = (conv.batch, conv.height, conv.width, channels)
    image = np.arange(np.prod(shape)).reshape(shape)
    image = image.repeat(conv.upsample, axis=1).repeat(conv.upsample, axis=2)
    if conv.upsample > 1:  # the result is as large as the image that is padded
        image = image[:, : conv.out_height, : conv.out_width]
    p = conv.padding
    image = np.pad(image, ((0, 0), (p, p), (p, p), (0, 0)), constant_values=ZEROS)
    rows = [
        image[
            b,
            y * conv.stride : y * conv.stride + conv.kernel,
            x * conv.stride : x * conv.stride + conv.kernel,
        ].ravel()
        for b in range(conv.batch)
        for y in range(conv.out_height)
        for x in range(conv.out_width)
    ]
    return np.stack(rows)


class Loads:
    """The statements of a shader that load, as Python."""

    def __init__(self, launch):
        begin = re.search(r"(let load_row.*?)var c0_0", launch.body, re.DOTALL)[1]
        advance = re.search(r"< STEPS\) \{\n(.*?\n)    \}\n", launch.body, re.DOTALL)[1]
        first_step = re.search(r"(?:let|const) first_step = .*;", launch.body)[0]
        self.constants = constants(launch.head)
        self.begin = compile(to_python(first_step + begin), "begin", "exec")
        self.advance = compile(to_python(advance), "advance", "exec")

    def run(self, thread, workgroup):
        """Yield the shader's variables of a thread after the loads of each step."""
        scope = {
            **self.constants,
            "thread": thread,
            "workgroup": SimpleNamespace(**dict(zip("xyz", workgroup, strict=True))),
            "ZEROS": ZEROS,
            "a": range(1 << 30),  # What is loaded is the index itself.
            "load_w": int,
            "load_packed_w": int,
            "i32": int,
            "u32": int,
        }
        exec(self.begin, scope)
        yield scope
        for _ in range(self.constants["STEPS"] - 1):
            exec(self.advance, scope)
            yield scope


@pytest.mark.parametrize(("kernel", "tile", "problem"), CASES.values(), ids=CASES)
def test_every_vector_of_both_tiles_is_loaded_once(kernel, tile, problem):
    launch = kernel(problem, tile).launches[0]
    loads = Loads(launch)
    steps = loads.constants["STEPS"]
    vectors = tile.k // VECTOR
    a = im2col(problem)
    w = np.arange(problem.n * problem.k // VECTOR).reshape(problem.n, -1)
    last = (0, launch.grid[1] - 1, launch.grid[2] - 1)
    for workgroup in {(0, 0, 0), last}:
        rows = np.minimum(workgroup[1] * tile.m + np.arange(tile.m), problem.m - 1)
        columns = np.minimum(workgroup[0] * tile.n + np.arange(tile.n), problem.n - 1)
        found_a = np.full((steps, tile.m, vectors), -2)
        found_w = np.full((steps, tile.n, vectors), -2)
        for thread in range(tile.threads):
            for step, scope in enumerate(loads.run(thread, workgroup)):
                for found, name in ((found_a, "next_a"), (found_w, "next_w")):
                    count = found.shape[1] * vectors // tile.threads
                    stride = tile.threads // vectors
                    for i in range(count):
                        at = (step, scope["load_row"] + i * stride, scope["load_k"])
                        assert found[at] == -2, "loaded twice"
                        found[at] = scope[f"{name}{i}"]
        k = slice(workgroup[2] * steps * vectors, (workgroup[2] + 1) * steps * vectors)
        in_steps = (-1, steps, vectors)
        expected_a = a[rows, k].reshape(in_steps).swapaxes(0, 1)
        expected_w = w[columns, k].reshape(in_steps).swapaxes(0, 1)
        np.testing.assert_array_equal(found_a, expected_a)
        np.testing.assert_array_equal(found_w, expected_w)


def unpack2x16float(word):
    return np.array([word], np.uint32).view(np.float16).astype(np.float32)


def unpack4xI8(word):  # noqa: N802 - WGSL's name
    return [(int(word) >> 8 * i & 255 ^ 128) - 128 for i in range(4)]


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_load_w_reads_weights_as_a_bundle_packs_them(storage):
    weight = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    buffers = encode(Parameter("w", (3, 8), storage), weight)
    head = tiled_gemm(GemmProblem(3, 3, 8, storage), GemmTile(8, 8, 8, 4, 4)).launches[0].head
    body = re.search(r"fn load_w.*?\{(.*?;)\s*\}", head, re.DOTALL)[1]
    expression = to_python(body).removeprefix("return ")
    w = np.frombuffer(buffers[0].data, "<u4")
    if storage == "float32":
        w = w.view(np.float32).reshape(-1, 4)
    elif storage == "float16":
        w = [SimpleNamespace(x=x, y=y) for x, y in w.reshape(-1, 2)]

    def vec4(*components):
        return np.hstack(components)

    functions = {"vec4": vec4, "unpack2x16float": unpack2x16float, "unpack4xI8": unpack4xI8}
    found = np.stack([eval(expression, {**functions, "w": w, "i": i}) for i in range(6)])
    expected = round_values(weight, storage).numpy()
    if storage == "int8":
        scales = np.frombuffer(buffers[1].data, "<f4")
        expected = (expected / scales[:, None]).round()  # The epilogue multiplies by the scales.
    np.testing.assert_array_equal(found.reshape(3, 8), expected)
