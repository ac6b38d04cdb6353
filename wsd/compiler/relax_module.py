"""One Relax module that holds every entry point, and the table that describes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from wsd.compiler import tvm_compat
from wsd.compiler.passes.pack_parameters import Signature
from wsd.compiler.tir.image import image_to_rgba, rgba_to_image
from wsd.compiler.tir.linear_combination import linear_combination
from wsd.compiler.tir.masked_blend import masked_blend
from wsd.frontend.export import Trace
from wsd.models.family import Family
from wsd.spec.manifest import EntryPoint
from wsd.spec.parameter import Parameter
from wsd.spec.roles import (
    IMAGE_TO_RGBA,
    LINEAR_COMBINATION,
    LINEAR_COMBINATION_TERMS,
    MASKED_BLEND,
    RGBA_TO_IMAGE,
    VAE_ENCODER,
)
from wsd.spec.tensor import Size, TensorSpec

# Entry points that are written in TE; all others are traced.
_KERNELS = {
    LINEAR_COMBINATION: linear_combination,
    IMAGE_TO_RGBA: image_to_rgba,
    RGBA_TO_IMAGE: rgba_to_image,
    MASKED_BLEND: masked_blend,
}


def list_entry_points(
    family: Family, sizes: Sequence[Size], traces: Sequence[Trace]
) -> list[EntryPoint]:
    """Return the library's functions: those that were traced, then those written in TE.

    Args:
        family: the model family.
        sizes: (width, height) of the pictures in pixels.
        traces: every entry point that was traced.
    """
    traced = [
        EntryPoint(
            name=trace.entry_point.name,
            role=trace.entry_point.role,
            component=trace.component,
            size=trace.entry_point.size,
            inputs=trace.entry_point.inputs,
            outputs=trace.entry_point.outputs,
        )
        for trace in traces
    ]
    written = [entry for size in sizes for entry in _kernel_entry_points(family, size)]
    if any(entry.role == VAE_ENCODER for entry in traced):
        written += [entry for size in sizes for entry in _picture_entry_points(family, size)]
    return [*traced, *written]


def _kernel_entry_points(family: Family, size: Size) -> Iterator[EntryPoint]:
    width, height = size
    latents = family.latent_space.shape(size)
    terms = tuple(TensorSpec(f"term{n}", latents) for n in range(LINEAR_COMBINATION_TERMS))
    yield EntryPoint(
        name=f"{LINEAR_COMBINATION}_{width}x{height}",
        role=LINEAR_COMBINATION,
        component=None,
        size=size,
        inputs=(*terms, TensorSpec("coefficients", (LINEAR_COMBINATION_TERMS,))),
        outputs=(TensorSpec("sum", latents),),
    )
    yield EntryPoint(
        name=f"{IMAGE_TO_RGBA}_{width}x{height}",
        role=IMAGE_TO_RGBA,
        component=None,
        size=size,
        inputs=(TensorSpec("image", (1, 3, height, width)),),
        outputs=(TensorSpec("rgba", (height, width), "int32"),),
    )


def _picture_entry_points(family: Family, size: Size) -> Iterator[EntryPoint]:
    """Yield what drawing from a picture takes besides the encoder."""
    width, height = size
    latents = family.latent_space.shape(size)
    yield EntryPoint(
        name=f"{RGBA_TO_IMAGE}_{width}x{height}",
        role=RGBA_TO_IMAGE,
        component=None,
        size=size,
        inputs=(TensorSpec("rgba", (height, width), "int32"),),
        outputs=(TensorSpec("image", (1, 3, height, width)),),
    )
    yield EntryPoint(
        name=f"{MASKED_BLEND}_{width}x{height}",
        role=MASKED_BLEND,
        component=None,
        size=size,
        inputs=(
            TensorSpec("latents", latents),
            TensorSpec("image_latents", latents),
            TensorSpec("noise", latents),
            TensorSpec("mask", (1, 1, *latents[2:])),
            TensorSpec("coefficients", (2,)),
        ),
        outputs=(TensorSpec("blended", latents),),
    )


def import_entry_points(
    entry_points: Sequence[EntryPoint], traces: Sequence[Trace]
) -> tvm_compat.IRModule:
    """Return one Relax module with a function for each entry point.

    Parameters are float32 arguments after the inputs, in PyTorch's shapes.

    Raises:
        CompileError: if TVM cannot import an operator.
    """
    module = tvm_compat.kernel_functions(
        {
            entry.name: (_KERNELS[entry.role], [(i.name, i.shape, i.dtype) for i in entry.inputs])
            for entry in entry_points
            if entry.role in _KERNELS
        }
    )
    for trace in traces:
        name = trace.entry_point.name
        with tvm_compat.calling_tvm(f"import of {name} (component {trace.component})"):
            imported = tvm_compat.import_program(trace.program)
        tvm_compat.add_function(module, name, imported)
    return module


def signatures(
    traces: Sequence[Trace], parameters: Mapping[str, tuple[Parameter, ...]] | None = None
) -> dict[str, Signature]:
    """Return what the arguments of each traced function are.

    Args:
        traces: of the functions.
        parameters: those of each component; each function reads them all unless given.
    """
    of_components = parameters or {}
    return {
        trace.entry_point.name: Signature(
            len(trace.entry_point.inputs),
            trace.parameters,
            of_components.get(trace.component),
            trace.entry_point.whole_bytes,
        )
        for trace in traces
    }


def add_plan(
    entry: EntryPoint,
    plan: tvm_compat.Plan,
    kernels: Sequence[str],
    operations: Mapping[str, int],
) -> EntryPoint:
    """Return an entry point with its kernels, memory and operations filled in.

    Args:
        entry: the entry point.
        plan: memory and calls of its Relax function.
        kernels: names of all shaders of the library.
        operations: TIR function → floating-point operations of one call.
    """
    calls = Counter(
        {kernel: plan.calls[tvm_compat.function_of_kernel(kernel)] for kernel in kernels}
    )
    return replace(
        entry,
        workspace_bytes=plan.workspace_bytes,
        largest_buffer_bytes=plan.largest_buffer_bytes,
        kernels=tuple(kernel for kernel, count in calls.items() if count),
        dispatches=calls.total(),
        operations=sum(operations.get(name, 0) * count for name, count in plan.calls.items()),
    )
