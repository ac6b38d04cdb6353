"""Run a Relax module on the CPU, to compare what it computes with numpy."""

import tvm
from tvm import relax


def run_on_cpu(module, inputs, parameters=()):
    """Run a module's ``main`` on the CPU.

    Args:
        module: a Relax module with a ``main``.
        inputs: run-time inputs as numpy arrays.
        parameters: parameters as numpy arrays.

    Returns:
        the results as numpy arrays.
    """
    executable = relax.build(module, "llvm")
    machine = relax.VirtualMachine(executable, tvm.cpu())
    # v0.21 has no tvm.runtime.tensor.
    to_tensor = getattr(tvm.runtime, "tensor", None) or tvm.nd.array
    result = machine["main"](*(to_tensor(array) for array in (*inputs, *parameters)))
    results = [result] if hasattr(result, "numpy") else list(result)
    return [tensor.numpy() for tensor in results]
