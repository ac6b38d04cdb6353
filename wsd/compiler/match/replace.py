"""The functions of a compiled module that have variants in WGSL (:mod:`wsd.kernels`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wsd.compiler.match.attention import match_attention
from wsd.compiler.match.gemm import match_gemm
from wsd.compiler.match.norm_sums import match_norm_sums
from wsd.compiler.tvm_compat import kernel_name, storage_buffers
from wsd.errors import CompileError
from wsd.kernels.problem import GemmProblem
from wsd.kernels.select import attention_variants, product_variants, sums_variants
from wsd.kernels.serialize import variant_table
from wsd.kernels.variant import Variant


def find_variants(
    functions: Mapping[str, Any],
) -> tuple[dict[str, list[Variant]], list[GemmProblem]]:
    """Find the functions that have variants in a module that is fused and not yet scheduled.

    Args:
        functions: function name → its TIR.

    Returns:
        (function name → variants, the products among them for
        :mod:`wsd.evaluate.tune_kernels`).
    """
    found: dict[str, list[Variant]] = {}
    products: list[GemmProblem] = []
    for name, function in functions.items():
        product = match_gemm(function)
        if product is not None:
            variants = product_variants(product)
            products += [product] if variants else []
        elif sums := match_norm_sums(name, function):
            variants = sums_variants(sums)
        elif attention := match_attention(function):
            kind, what = attention
            variants = attention_variants(what)
            if kind == "statistics" and variants:
                # The other kernel computes them as it goes, wherever it can run.
                variants = [replace(v, launches=(), operations=0) for v in variants]
        else:
            continue
        if variants:
            found[name] = variants
    return found, products


def shader_variants(
    variants: Mapping[str, list[Variant]], moved: Mapping[str, int], shaders: Mapping[str, str]
) -> dict[str, Any]:
    """Return the table of variants by the names of the shaders whose place they take.

    Args:
        variants: function name → its variants.
        moved: function name → bytes that it reads and writes.
        shaders: kernel name → WGSL.

    Raises:
        CompileError: if a shader's buffers are not those of its function.
    """
    chosen, orders = {}, {}
    for name, found in variants.items():
        shader = kernel_name(name)
        if shader not in shaders:
            continue  # nothing calls it
        chosen[shader] = found
        orders[shader] = storage_buffers(shaders[shader])
        wanted = {name for v in found for launch in v.launches for name in launch.buffers if name}
        if missing := wanted - set(orders[shader]):
            raise CompileError(
                f"kernel {shader} has no buffer {min(missing)}",
                "TVM names buffers otherwise: see wsd/compiler/match/replace.py",
            )
    # The first of a function's shaders stands for all.
    named = {kernel_name(name): count for name, count in moved.items()}
    known = {name: count for name, count in named.items() if name in shaders}
    return variant_table(chosen, orders, known)
