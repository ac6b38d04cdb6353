"""Match the TIR functions of a module that written kernels can replace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from wsd.compiler import tvm_compat
from wsd.compiler.match.attention import match_attention
from wsd.compiler.match.gemm import match_gemm
from wsd.compiler.match.norm_sums import match_norm_sums
from wsd.compiler.tir.stages import SOFTMAX_STATISTICS
from wsd.errors import CompileError
from wsd.kernels.problem import GemmProblem
from wsd.kernels.registry import TUNED, Problem
from wsd.kernels.select import select_variants
from wsd.kernels.serialize import KernelTable, kernel_table
from wsd.kernels.variant import Variant


@dataclass(frozen=True)
class Match:
    """A problem that a TIR function computes, and what may run in the function's place.

    Attributes:
        problem: its buffers are named as the function's.
        variants: the fastest first; none if only the generated kernel is worth running.
    """

    problem: Problem
    variants: tuple[Variant, ...]


def match_function(name: str, function: Any) -> Match | None:
    """Return the problem that a TIR function computes, or None if no pattern matches.

    Args:
        name: the function's name in its module.
        function: its TIR, after fusion and before scheduling.
    """
    problem: Problem | None = match_gemm(function) or match_norm_sums(name, function)
    if problem is not None:
        return Match(problem, tuple(select_variants(problem)))
    if attention := match_attention(function):
        kind, problem = attention
        variants = select_variants(problem)
        if kind == SOFTMAX_STATISTICS:
            # The attention variants compute the softmax statistics themselves, so that where
            # one of them runs, the function that computes them alone has nothing to launch.
            variants = [replace(v, launches=(), operations=0) for v in variants]
        return Match(problem, tuple(variants))
    return None


def find_variants(
    functions: Mapping[str, Any],
) -> tuple[dict[str, list[Variant]], list[GemmProblem]]:
    """Find the functions that have variants in a module that is fused and not yet scheduled.

    Args:
        functions: function name → its TIR.

    Returns:
        (function name → variants, the GEMM problems among them for
        :mod:`wsd.evaluate.tune_kernels`).
    """
    matches = {name: match_function(name, function) for name, function in functions.items()}
    found = {name: match for name, match in matches.items() if match and match.variants}
    problems = [m.problem for m in found.values() if isinstance(m.problem, GemmProblem)]
    return {name: list(match.variants) for name, match in found.items()}, problems


def shader_variants(
    variants: Mapping[str, list[Variant]],
    bytes_accessed: Mapping[str, int],
    shaders: Mapping[str, str],
) -> KernelTable:
    """Return the contents of kernels.json: variants by the names of the shaders they replace.

    Args:
        variants: function name → its variants.
        bytes_accessed: function name → bytes that one call reads and writes.
        shaders: kernel name → generated WGSL.

    Raises:
        CompileError: if a generated shader does not have the buffers of its function, or if a
            function with a tuned schedule has several kernels.
    """
    found: dict[str, list[Variant]] = {}
    arguments: dict[str, list[str]] = {}
    for function, selected in variants.items():
        kernel = tvm_compat.kernel_name(function)
        if kernel not in shaders:
            continue  # No entry point calls the function.
        if any(v.name == TUNED for v in selected) and f"{kernel}_1" in shaders:
            raise CompileError(
                f"{function} becomes several kernels, and one with its tuned schedule",
                "the rules have changed since it was tuned: tune anew, or give --no-database",
            )
        found[kernel] = selected
        arguments[kernel] = tvm_compat.storage_buffers(shaders[kernel])
        needed = {
            name
            for v in selected
            for launch in v.launches
            for name in launch.buffers
            if isinstance(name, str)
        }
        if missing := needed - set(arguments[kernel]):
            raise CompileError(
                f"generated kernel {kernel} has no buffer {min(missing)}, which the variant "
                f"{selected[0].name} binds; its buffers: {', '.join(arguments[kernel]) or 'none'}",
                f"TVM {tvm_compat.version()} names the buffers of its shaders in a new way: adapt "
                "storage_buffers and name_of in wsd/compiler/tvm_compat",
            )
    # A function that became several shaders is counted at the first of them.
    by_kernel = {tvm_compat.kernel_name(name): count for name, count in bytes_accessed.items()}
    known = {kernel: count for kernel, count in by_kernel.items() if kernel in shaders}
    return kernel_table(found, arguments, known)
