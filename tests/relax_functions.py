"""Small Relax modules for tests of passes, legalizers and schedule rules."""

from tvm import relax

from wsd.compiler import tvm_compat


def relax_function(inputs, body):
    """Return a module whose ``main`` computes one expression.

    Args:
        inputs: name → shape, or name → (shape, dtype); float32 unless given.
        body: takes a function that emits an expression, then the inputs; returns an expression.
    """
    builder = relax.BlockBuilder()
    variables = []
    for name, spec in inputs.items():
        shape, dtype = spec if len(spec) == 2 and isinstance(spec[0], tuple) else (spec, "float32")
        variables.append(tvm_compat.tensor_variable(name, shape, dtype))
    with builder.function("main", variables):
        with builder.dataflow():
            result = builder.emit_output(body(builder.emit, *variables))
        builder.emit_func_output(result)
    return builder.get()


def operators(module, name="main"):
    """Return the operators that a Relax function calls, in order; ``call_tir`` by its function."""
    found = []

    def visit(expression):
        operator = tvm_compat.operator_name(expression)
        if operator == "relax.call_tir":
            found.append(str(expression.args[0].name_hint))
        elif operator:
            found.append(operator)

    relax.analysis.post_order_visit(module[name].body, visit)
    return found


def tir_functions(module):
    """Return name → TIR function."""
    return {
        str(variable.name_hint): function
        for variable, function in module.functions_items()
        if isinstance(function, tvm_compat.tir.PrimFunc)
    }
