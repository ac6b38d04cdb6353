"""What is left of transposes, and that a layout changes no result."""

import pytest
from tvm import relax

from wsd.compiler import tvm_compat
from wsd.compiler.driver import entry_point_modules
from wsd.compiler.passes.channels_last import channels_last
from wsd.frontend.export import trace_component
from wsd.models.registry import find_family


def transposes(module):
    """Return the shapes of tensors that are transposed, matrices left out."""
    found = []

    def visit(expression):
        what = tvm_compat.permuted(expression)
        if what is not None and len(what[1]) > 2:
            found.append(tuple(tvm_compat.shape_of(what[0])))

    relax.analysis.post_order_visit(module["main"].body, visit)
    return found


@pytest.mark.parametrize(
    "role",
    [
        pytest.param("denoiser", marks=pytest.mark.exhaustive),
        pytest.param("vae_decoder", marks=pytest.mark.exhaustive),
        "vae_encoder",
    ],
)
def test_only_inputs_and_outputs_are_transposed(role):
    family = find_family("tiny-sdxl")
    parts = entry_point_modules(family, family.sizes[:1])
    component, made = next(pair for pair in parts if pair[1].role == role)
    trace = trace_component(component, made)
    module = tvm_compat.import_program(trace.program)
    before = transposes(module)
    after = transposes(channels_last(module))
    assert len(before) > len(after)
    taken, given = made.inputs[0].shape, made.outputs[0].shape
    assert sorted(after) == sorted([taken, tuple(given[axis] for axis in (0, 2, 3, 1))])
