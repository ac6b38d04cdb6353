"""From a scheduled module to object files and WGSL, and how TVM names what it generates."""

from __future__ import annotations

import importlib
import math
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import tvm
from tvm import relax

from wsd.compiler.tvm_compat.relax import IRModule, operator_name
from wsd.compiler.tvm_compat.share_storage import SHARE_STORAGE, ShareStorage
from wsd.compiler.tvm_compat.version import is_reference_lane, version
from wsd.errors import CompileError

# TVM's classes carry no types.
Executable = Any

_DEVICE = {"kind": "webgpu", "max_num_threads": 256}
_HOST_TRIPLE = "wasm32-unknown-unknown-wasm"
# A TIR function "f" becomes the shaders "f_kernel", "f_kernel_1", "f_kernel_2" …
_KERNEL = "_kernel"
# How generated WGSL declares a buffer: its variable is the TIR buffer's name and a suffix.
_DECLARED = re.compile(r"@binding\((\d+)\) var<storage, \w+> (\w+) :")
_BUFFER_SUFFIX = "_ptr"
_WRITTEN = re.compile(r"var<storage, read_write> (\w+) :")
# The uniform buffer of a generated kernel without scalar arguments: the workgroups along x.
_UNIFORM = re.compile(
    r"struct PODArgs \{\n  packGridDimX: u32\n\}\n"
    r"@group\(0\) @binding\(\d+\) var<uniform> podArgs : PODArgs;\n"
)
_WORKGROUPS = "podArgs.packGridDimX"
_SHARED = re.compile(r"var<workgroup> \w+ : array<(?:vec([234])<)?([fiu])(16|32)>?, (\d+)>;")


def target() -> Any:
    """Return the compilation target: WebGPU kernels, WebAssembly host code.

    Every WebGPU adapter offers 256 threads a workgroup. Host code uses WebAssembly's first
    version only ("mvp"): Emscripten refuses objects that name later features if its Binaryen is
    older than TVM's LLVM.
    """
    return tvm.target.Target(_DEVICE, host={"kind": "llvm", "mtriple": _HOST_TRIPLE, "mcpu": "mvp"})


@dataclass(frozen=True)
class Plan:
    """Memory and calls of a Relax function, read after TVM planned its memory.

    Attributes:
        workspace_bytes: bytes of all buffers that it allocates.
        largest_buffer_bytes: bytes of the largest of them.
        calls: TIR function → how often the function calls it.
    """

    workspace_bytes: int
    largest_buffer_bytes: int
    calls: Counter[str]


def build(module: IRModule) -> tuple[Executable, dict[str, Plan]]:
    """Lower a scheduled module to a Relax executable for :func:`target`.

    Returns:
        (executable, Relax function → its plan).
    """
    pipeline = relax.get_pipeline("default_build")
    watch = _PlanWatch()
    context = tvm.transform.PassContext(instruments=[watch])
    with target(), context, _grouped_device_functions(), shared_storage():
        executable = relax.build(module, target(), relax_pipeline=pipeline, system_lib=True)
    return executable, watch.planned


def plan_memory(module: IRModule) -> dict[str, Plan]:
    """Plan the memory of a scheduled module and build nothing.

    Building plans the same memory (:func:`build`), and takes many times as long.

    Returns:
        Relax function → its plan.
    """
    watch = _PlanWatch()
    with target(), tvm.transform.PassContext(instruments=[watch]), shared_storage():
        relax.get_pipeline("default_build")(module)
    return watch.planned


@tvm.ir.instrument.pass_instrument
class _PlanWatch:
    """Reads each function's plan right after the passes that plan memory."""

    def __init__(self) -> None:
        self.planned: dict[str, Plan] = {}

    def run_after_pass(self, module: IRModule, info: Any) -> None:
        if str(info.name) not in ("StaticPlanBlockMemory", SHARE_STORAGE):
            return
        for variable, function in module.functions.items():
            if isinstance(function, relax.Function):
                self.planned[str(variable.name_hint)] = _plan(function)


def _plan(function: Any) -> Plan:
    """Read the buffers and calls of a function whose memory has been planned."""
    sizes: list[int] = []
    calls: Counter[str] = Counter()

    def visit(expression: Any) -> None:
        if not isinstance(expression, relax.Call):
            return
        if isinstance(expression.op, tvm.ir.GlobalVar):
            calls[str(expression.op.name_hint)] += 1
        name = operator_name(expression)
        if name == "relax.memory.alloc_storage":
            sizes.append(math.prod(int(extent) for extent in expression.args[0]))
        elif name == "relax.builtin.alloc_tensor":
            shape = [int(extent) for extent in expression.args[0]]
            sizes.append(4 * math.prod(shape))

    relax.analysis.post_order_visit(function.body, visit)
    return Plan(sum(sizes), max(sizes, default=0), calls)


@contextmanager
def shared_storage() -> Iterator[None]:
    """Let TVM's pipeline plan memory with :class:`ShareStorage` behind its own pass."""
    transform = cast(Any, relax.transform)
    original = transform.StaticPlanBlockMemory
    transform.StaticPlanBlockMemory = lambda: tvm.transform.Sequential(
        [original(), ShareStorage()], name="plan_memory"
    )
    try:
        yield
    finally:
        transform.StaticPlanBlockMemory = original


class _grouped_device_functions:  # noqa: N801 - used as a statement
    """Make v0.21 emit one WebGPU module for all kernels instead of one for each.

    v0.21 groups device functions by Target object, and equal targets are different objects, so
    that the browser would compile only the first module's pipelines ahead of time. Grouping by
    the target's text, as TVM does since its commit acdc164d1f, gives one module.
    """

    def __enter__(self) -> None:
        if not is_reference_lane():
            return
        self._module = cast(Any, importlib.import_module("tvm.tir.build"))
        self._original = self._module.split_host_device_mods

        def split(module: IRModule) -> tuple[IRModule, dict[Any, IRModule]]:
            host, by_target = self._original(module)
            groups: OrderedDict[str, tuple[Any, dict[Any, Any]]] = OrderedDict()
            for key, device in by_target.items():
                _, functions = groups.setdefault(str(key), (key, {}))
                functions.update(device.functions.items())
            return host, {
                key: tvm.IRModule(functions, attrs=module.attrs)
                for key, functions in groups.values()
            }

        self._module.split_host_device_mods = split

    def __exit__(self, *_: object) -> None:
        if is_reference_lane():
            self._module.split_host_device_mods = self._original


def export_objects(executable: Executable, folder: Path) -> list[Path]:
    """Write an executable as WebAssembly object files and return their paths.

    Objects and not bitcode, because TVM's LLVM and Emscripten's differ.

    Args:
        executable: what TVM built.
        folder: gets the files.
    """
    collected: list[Path] = []

    def collect(_output: str, objects: list[str], **_options: object) -> None:
        for index, name in enumerate(objects):
            path = folder / f"model{index}.o"
            path.write_bytes(Path(name).read_bytes())
            collected.append(path)

    collect.object_format = "o"  # type: ignore[attr-defined]
    executable.export_library(str(folder / "model.wasm"), fcompile=collect)
    return collected


def shaders(executable: Executable) -> dict[str, str]:
    """Return every generated WGSL shader by kernel name."""
    found: dict[str, str] = {}
    waiting = [executable.mod]
    while waiting:
        module = waiting.pop()
        imports = module.imports if hasattr(module, "imports") else module.imported_modules
        waiting.extend(imports)
        kind = module.kind if hasattr(module, "kind") else module.type_key
        if kind != "webgpu":
            continue
        inspect: Callable[..., str] = getattr(module, "inspect_source", None) or module.get_source
        for part in re.split(r"(?m)^// Function: ", str(inspect()))[1:]:
            header, _, code = part.partition("\n")
            found[header.strip()] = re.sub(r"(?m)^//-+$", "", code).strip() + "\n"
    return dict(sorted(found.items()))


def build_functions(functions: Mapping[str, Any]) -> dict[str, str]:
    """Return the WGSL shaders of scheduled TIR functions by kernel name, as a library has them.

    Args:
        functions: the functions' names → their TIR.
    """
    if not functions:
        return {}
    module = tvm.IRModule(
        {name: f.with_attr("global_symbol", name) for name, f in functions.items()}
    )
    # Nothing is linked, and the host's code decides nothing about a shader.
    host = {"kind": "llvm"}
    with _grouped_device_functions():
        return shaders(tvm.compile(module, target=tvm.target.Target(_DEVICE, host=host)))


def standalone_shader(shader: str, kernel: str, workgroups: int) -> str:
    """Return a generated shader that binds no uniform buffer, and whose entry point is ``main``.

    tvmjs runs more workgroups along x than a dispatch has by spreading them over z, and says in a
    uniform buffer where they end. A shader that is dispatched as it is needs none.

    Args:
        shader: WGSL of one kernel.
        kernel: the kernel's name.
        workgroups: how many of them the kernel has along x.

    Raises:
        CompileError: if the shader takes scalars, or is not written as TVM wrote shaders so far.
    """
    without, uniforms = _UNIFORM.subn("", shader)
    entry = f"fn {kernel}("
    if uniforms != 1 or without.count(_WORKGROUPS) != 1 or without.count(entry) != 1:
        raise CompileError(
            f"the generated shader of {kernel} has another uniform buffer than expected",
            f"TVM {version()} writes shaders in a new way: adapt standalone_shader in "
            "wsd/compiler/tvm_compat",
        )
    return without.replace(_WORKGROUPS, f"{workgroups}u").replace(entry, "fn main(")


def shared_bytes(shader: str) -> int:
    """Return the bytes of shared memory that a workgroup of a generated shader takes."""
    return sum(
        int(components or 1) * int(bits) // 8 * int(count)
        for components, _, bits, count in _SHARED.findall(shader)
    )


def kernel_name(function: str) -> str:
    """Return the name of the first shader that a TIR function becomes."""
    return function + _KERNEL


def function_of_kernel(kernel: str) -> str:
    """Return the TIR function that a shader was generated from."""
    return kernel.rpartition(_KERNEL)[0]


def storage_buffers(shader: str) -> list[str]:
    """Return the storage buffers that a generated shader binds, by binding number.

    Their names are those that :func:`wsd.compiler.tvm_compat.tir.name_of` gives.
    """
    declared = sorted((int(binding), name) for binding, name in _DECLARED.findall(shader))
    return [name.removesuffix(_BUFFER_SUFFIX) for _, name in declared]


def written_buffers(shader: str) -> set[str]:
    """Return which of :func:`storage_buffers` a generated shader writes."""
    return {name.removesuffix(_BUFFER_SUFFIX) for name in _WRITTEN.findall(shader)}
