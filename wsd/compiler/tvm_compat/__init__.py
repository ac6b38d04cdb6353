"""The only package that knows which TVM is installed, and how TVM names things.

WSD runs on two versions: v0.21.0 built from source (the reference lane) and the ``apache-tvm``
wheel, 0.27 (the quick lane). Everything that differs between them is here: module names,
arguments of importers, node classes, where the WebAssembly runtime's sources lie. TVM's naming
conventions are here too: how kernels and their buffers are named in WGSL, and the integers of
``op_pattern``.
"""

from __future__ import annotations

from wsd.compiler.tvm_compat.build import (
    Executable,
    Plan,
    build,
    build_functions,
    export_objects,
    function_of_kernel,
    kernel_name,
    plan_memory,
    shaders,
    shared_bytes,
    shared_storage,
    standalone_shader,
    storage_buffers,
    target,
    written_buffers,
)
from wsd.compiler.tvm_compat.errors import calling_tvm
from wsd.compiler.tvm_compat.meta_schedule import (
    LoadedDatabase,
    describe_record,
    is_scheduled,
    normalized,
    thread_extents,
)
from wsd.compiler.tvm_compat.relax import (
    IRModule,
    add_function,
    cropped,
    import_program,
    kernel_functions,
    operator_name,
    permuted,
    shape_of,
    tensor_variable,
    zero_padded,
)
from wsd.compiler.tvm_compat.runtime_sources import WasmSources, tvmjs_source, wasm_sources
from wsd.compiler.tvm_compat.tir import (
    Schedule,
    ScheduleError,
    analyzer,
    block_named,
    buffer_of,
    buffers_of,
    dlight,
    estimate_operations,
    gemm_attributes,
    injective_attributes,
    intrinsic_name,
    name_of,
    node_kind,
    normalize_prim_func,
    opaque_attributes,
    tir,
)
from wsd.compiler.tvm_compat.version import is_reference_lane, version

__all__ = [
    "Executable",
    "IRModule",
    "LoadedDatabase",
    "Plan",
    "Schedule",
    "ScheduleError",
    "WasmSources",
    "add_function",
    "analyzer",
    "block_named",
    "buffer_of",
    "buffers_of",
    "build",
    "build_functions",
    "calling_tvm",
    "cropped",
    "describe_record",
    "dlight",
    "estimate_operations",
    "export_objects",
    "function_of_kernel",
    "gemm_attributes",
    "import_program",
    "injective_attributes",
    "intrinsic_name",
    "is_reference_lane",
    "is_scheduled",
    "kernel_functions",
    "kernel_name",
    "name_of",
    "node_kind",
    "normalize_prim_func",
    "normalized",
    "opaque_attributes",
    "operator_name",
    "permuted",
    "plan_memory",
    "shaders",
    "shape_of",
    "shared_bytes",
    "shared_storage",
    "standalone_shader",
    "storage_buffers",
    "target",
    "tensor_variable",
    "thread_extents",
    "tir",
    "tvmjs_source",
    "version",
    "wasm_sources",
    "written_buffers",
    "zero_padded",
]
