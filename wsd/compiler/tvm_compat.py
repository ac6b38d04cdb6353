"""The only module that knows which TVM is installed.

WSD runs on two: v0.21.0 built from source (the reference lane) and the
``apache-tvm`` wheel, 0.27 (the quick lane). What differs between them — module
names, importer arguments, where the WebAssembly runtime's sources lie — is
answered here and nowhere else.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import re
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

# Tensors never go from PyTorch to TVM, so the wheel need not compile a bridge for torches
# before 2.10, which takes seconds and a compiler. It asks for one in two places.
os.environ.setdefault("TVM_FFI_DISABLE_TORCH_C_DLPACK", "1")
if importlib.util.find_spec("tvm_ffi") is not None:
    _bridge: Any = importlib.import_module("tvm_ffi._optional_torch_c_dlpack")
    _bridge.load_torch_c_dlpack_extension = lambda: None

import tvm
from tvm import relax

from wsd.errors import ToolError

# TVM's names carry no types.
IRModule = Any
Executable = Any

_HOST_TRIPLE = "wasm32-unknown-unknown-wasm"


def version() -> str:
    """Return TVM's version, such as ``0.27.0.post1``."""
    return str(tvm.__version__)


def is_reference_lane() -> bool:
    """Tell whether this is TVM v0.21, the version that the container pins."""
    return version().startswith("0.21.")


def _first_module(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise ToolError(
        f"TVM {version()} has none of {', '.join(names)}",
        "install apache-tvm 0.27, or build v0.21.0 from source",
    )


tir = _first_module("tvm.tirx", "tvm.tir")
dlight = _first_module("tvm.s_tir.dlight", "tvm.dlight")
Schedule: Any = _first_module("tvm.s_tir", "tvm.tir").Schedule
ScheduleError: Any = _first_module("tvm.s_tir", "tvm.tir").ScheduleError
_analysis: Any = _first_module("tvm.s_tir.analysis", "tvm.tir.analysis")
estimate_operations = _analysis.estimate_tir_flops
normalize_prim_func: Any = dlight.analysis.normalize_prim_func


def target() -> Any:
    """Return the compilation target: WebGPU kernels, WebAssembly host code.

    256 threads a workgroup is what every WebGPU adapter must offer. Host code needs nothing
    beyond WebAssembly's first version, and objects that name later features are refused by
    an Emscripten whose Binaryen is older than TVM's LLVM.
    """
    return tvm.target.Target(
        {"kind": "webgpu", "max_num_threads": 256},
        host={"kind": "llvm", "mtriple": _HOST_TRIPLE, "mcpu": "mvp"},
    )


def tensor_variable(name: str, shape: tuple[int, ...], dtype: str) -> Any:
    """Return a Relax variable that holds a tensor."""
    # v0.21 has a TensorType too, of another meaning.
    kind = relax.TensorStructInfo if is_reference_lane() else relax.TensorType
    return relax.Var(name, kind(shape, dtype))


def shape_of(expression: Any) -> list[int]:
    """Return the static shape of a Relax tensor."""
    kind = expression.struct_info if is_reference_lane() else expression.ty
    return [int(extent) for extent in kind.shape]


def block_named(schedule: Any, name: str) -> Any:
    """Return a block of a schedule by its name."""
    find = getattr(schedule, "get_sblock", None) or schedule.get_block
    return find(name)


def analyzer() -> Any:
    """Return an arithmetic simplifier with nothing known."""
    return _first_module("tvm.sym.analyzer", "tvm.arith").Analyzer()


def buffer_of(node: Any) -> Any:
    """Return the buffer that a load reads, or that a region is of."""
    return node.buffer if is_reference_lane() else node.source


def buffers_of(function: Any) -> list[Any]:
    """Return a TIR function's parameters, as what has a shape."""
    if is_reference_lane():
        return [function.buffer_map[parameter] for parameter in function.params]
    return list(function.params)


def name_of(buffer: Any) -> str:
    """Return what shaders call one of a TIR function's parameters."""
    return str((buffer.data if is_reference_lane() else buffer).name)


def import_program(program: Any) -> IRModule:
    """Import a normalised ``ExportedProgram`` with its parameters as inputs.

    Decompositions stay off, so that attention arrives as ``relax.nn.attention``
    (with them, torch 2.8 and later emit boolean reductions that WebGPU cannot
    store). v0.21 never decomposes and has no such argument.
    """
    from tvm.relax.frontend.torch import from_exported_program

    options: dict[str, Any] = {"keep_params_as_input": True, "unwrap_unit_return_tuple": True}
    if not is_reference_lane():
        options["run_ep_decomposition"] = False
    module = from_exported_program(program, **options)
    detached, _ = relax.frontend.detach_params(module)
    return detached


def kernel_functions(
    functions: dict[str, tuple[Callable[..., Any], list[tuple[str, tuple[int, ...], str]]]],
) -> IRModule:
    """Return a module with one Relax function a kernel written in TE.

    Args:
        functions: function name → (TE function, its inputs as name, shape, dtype).
    """
    builder = relax.BlockBuilder()
    for name, (kernel, inputs) in functions.items():
        variables = [tensor_variable(*spec) for spec in inputs]
        with builder.function(name, variables):
            with builder.dataflow():
                value = builder.emit_te(kernel, *variables, primfunc_name_hint=kernel.__name__)
                result = builder.emit_output(value)
            builder.emit_func_output(result)
    return builder.get()


def add_function(module: IRModule, name: str, imported: IRModule) -> None:
    """Add the ``main`` function of an imported module under another name."""
    function = imported["main"].with_attr("global_symbol", name)
    module[tvm.ir.GlobalVar(name)] = function


@dataclass(frozen=True)
class Plan:
    """What is known of a Relax function once its memory is planned.

    Attributes:
        workspace_bytes: of every buffer that it allocates.
        largest_buffer_bytes: of the largest of them.
        calls: TIR function → how often it calls it.
    """

    workspace_bytes: int
    largest_buffer_bytes: int
    calls: Counter[str]


def build(module: IRModule) -> tuple[Executable, dict[str, Plan]]:
    """Lower a scheduled module to a relax executable for :func:`target`.

    Returns:
        (executable, Relax function → its plan).
    """
    pipeline = relax.get_pipeline("default_build")
    watch = _PlanWatch()
    with target(), tvm.transform.PassContext(instruments=[watch]), _grouped_device_functions():
        executable = relax.build(module, target(), relax_pipeline=pipeline, system_lib=True)
    return executable, watch.planned


@tvm.ir.instrument.pass_instrument
class _PlanWatch:
    """Reads each function when memory has been planned."""

    def __init__(self) -> None:
        self.planned: dict[str, Plan] = {}

    def run_after_pass(self, module: IRModule, info: Any) -> None:
        if str(info.name) != "StaticPlanBlockMemory":
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
        name = getattr(expression.op, "name", "")
        if name == "relax.memory.alloc_storage":
            sizes.append(math.prod(int(extent) for extent in expression.args[0]))
        elif name == "relax.builtin.alloc_tensor":
            shape = [int(extent) for extent in expression.args[0]]
            sizes.append(4 * math.prod(shape))

    relax.analysis.post_order_visit(function.body, visit)
    return Plan(sum(sizes), max(sizes, default=0), calls)


def run_on_cpu(module: IRModule, inputs: list[Any], parameters: list[Any]) -> list[Any]:
    """Run a module's ``main`` on the CPU, for tests.

    Args:
        module: what :func:`import_program` returned, or one with a ``main``.
        inputs: run-time inputs as numpy arrays.
        parameters: parameters as numpy arrays.

    Returns:
        the results as numpy arrays.
    """
    executable = relax.build(module, "llvm")
    machine = relax.VirtualMachine(executable, tvm.cpu())
    to_tensor = tvm.nd.array if is_reference_lane() else tvm.runtime.tensor
    result = machine["main"](*(to_tensor(a) for a in (*inputs, *parameters)))
    results = [result] if hasattr(result, "numpy") else list(result)
    return [tensor.numpy() for tensor in results]


class _grouped_device_functions:  # noqa: N801 - used as a statement
    """Make v0.21 emit one WebGPU module instead of one a kernel.

    It keys device functions by Target object, and equal targets are different
    objects; only the first module's pipelines are then compiled ahead. Keying
    by text, as upstream does since its commit acdc164d1f, groups them.
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


@dataclass(frozen=True)
class WasmSources:
    """What the WebAssembly runtime is compiled from.

    Attributes:
        root: folder that holds ``web/emcc`` and ``src/runtime``.
        includes: include folders, in order.
        layout: place in TVM's source tree → folder that belongs there, for
            what the installed packages lay out otherwise.
        defines: preprocessor definitions.
        definitions: C++ appended to the runtime, for what it declares and calls
            but what is not compiled into it.
    """

    root: Path
    includes: tuple[Path, ...]
    layout: dict[str, Path]
    defines: tuple[str, ...] = ()
    definitions: str = ""


# WebAssembly has one thread here; v0.21's thread pool is not compiled. Its log lines ask for
# the time zone, which Emscripten would ask of a page's JavaScript: it stays UTC.
_ONE_THREAD = """
extern "C" void _tzset_js(long*, int*, char*, char*) {}
namespace tvm {
namespace runtime {
namespace threading {
int NumThreads() { return 1; }
void ResetThreadPool() {}
}  // namespace threading
}  // namespace runtime
}  // namespace tvm
"""


def wasm_sources() -> WasmSources:
    """Return the sources of the WebAssembly runtime of the installed TVM.

    Raises:
        ToolError: if v0.21.0 is installed and its source tree is not found.
    """
    package = Path(tvm.__file__).resolve().parent
    shim = Path(__file__).resolve().parent / "wasm" / "shim"
    if is_reference_lane():
        root = Path(os.environ.get("TVM_HOME", package.parent.parent))
        if not (root / "web" / "emcc" / "wasm_runtime.cc").is_file():
            raise ToolError(
                f"TVM {version()} is installed but its source tree is not at {root}",
                "set TVM_HOME to the source tree that this TVM was built from",
            )
        return WasmSources(
            root=root,
            includes=(
                root,
                root / "web" / "emcc",
                root / "include",
                root / "ffi" / "include",
                root / "ffi" / "3rdparty" / "dlpack" / "include",
                root / "3rdparty" / "dmlc-core" / "include",
                root / "3rdparty" / "compiler-rt",
                root / "3rdparty" / "picojson",
            ),
            layout={},
            defines=("DMLC_USE_LOGGING_LIBRARY=<tvm/runtime/logging.h>",),
            definitions=_ONE_THREAD,
        )
    ffi = Path(importlib.import_module("tvm_ffi").__file__ or "").resolve().parent
    return WasmSources(
        root=package,
        includes=(package / "include", ffi / "include", shim / "include"),
        layout={
            "3rdparty/tvm-ffi/src": ffi / "src",
            "src/runtime": package / "src" / "runtime",
            "src/support": shim / "src" / "support",
        },
    )


def tvmjs_source() -> Path:
    """Return the folder of tvmjs's TypeScript sources, for the page's bundler."""
    return wasm_sources().root / "web" / "src"
