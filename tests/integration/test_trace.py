"""Normalised graphs and imported Relax against PyTorch, on the CPU."""

import numpy as np
import pytest
import torch

from speck import SPECK, SPECK_XL
from tvm_cpu import run_on_cpu
from wsd.compiler import tvm_compat
from wsd.errors import CompileError
from wsd.frontend.entry_points import make_entry_point
from wsd.frontend.export import trace_component
from wsd.frontend.normalize import normalize
from wsd.models.instantiate import build_module
from wsd.models.registry import FAMILIES

# Models of few layers; the stages of tiny-sd15 are compared in the browser (tests/e2e).
COMPONENTS = [
    pytest.param(family, component.id, size, marks=marks)
    for families, size, marks in (
        ((SPECK, SPECK_XL), (16, 16), ()),
        ((FAMILIES["tiny-sd15"], FAMILIES["tiny-sdxl"]), (64, 64), pytest.mark.full),
    )
    for family in families
    for component in family.components
]


def make_inputs(specs):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 700, spec.shape, generator=generator, dtype=torch.int32)
        if spec.dtype == "int32"
        else torch.randn(spec.shape, generator=generator)
        for spec in specs
    ]


def names(trace):
    return [parameter.name for parameter in trace.parameters]


@pytest.mark.parametrize(
    ("family", "name", "size"), COMPONENTS, ids=lambda value: getattr(value, "name", str(value))
)
def test_imported_relax_computes_what_torch_computes(family, name, size):
    torch.manual_seed(0)
    component = next(c for c in family.components if c.id == name)
    model = build_module(component)
    made = make_entry_point(family, component, model, size)
    trace = trace_component(component, made)
    inputs = make_inputs(made.inputs)
    with torch.no_grad():
        expected = made.module(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    state = {**dict(model.named_parameters())}
    parameters = [state[name].detach().numpy() for name in names(trace)]
    module = tvm_compat.import_program(trace.program)
    found = run_on_cpu(module, [i.numpy() for i in inputs], parameters)
    for result, right, spec in zip(found, expected, made.outputs, strict=True):
        assert result.shape == right.shape == spec.shape
        assert np.linalg.norm(result - right.numpy()) <= 1e-5 * np.linalg.norm(right)


def test_parameters_that_nothing_reads_are_left_out():
    # SDXL conditions on the last layer but one: the last need not be downloaded.
    family = FAMILIES["tiny-sdxl"]
    component = family.component("text_encoder")
    made = make_entry_point(family, component, build_module(component), family.sizes[0])
    trace = trace_component(component, made)
    assert "encoder.layers.2.mlp.fc1.weight" in names(trace)
    assert not any(name.startswith("encoder.layers.3.") for name in names(trace))
    assert "final_layer_norm.weight" not in names(trace)


def export(module, *inputs):
    with torch.no_grad():
        return torch.export.export(module.eval(), inputs)


class AttentionProblem(torch.nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.make_mask = mask

    def forward(self, x):
        return torch.nn.functional.scaled_dot_product_attention(
            x, x, x, attn_mask=self.make_mask(x)
        )


X = torch.zeros(1, 2, 6, 8)


@pytest.mark.parametrize(
    "mask",
    [
        lambda x: torch.arange(6)[None, :] <= torch.arange(6)[:, None],
        lambda x: torch.full((6, 6), float("-inf")).triu(1),
        lambda x: torch.full((6, 6), torch.finfo(torch.float32).min).triu(1)[None, None],
    ],
    ids=["bool", "inf", "lowest"],
)
def test_constant_causal_masks_become_a_flag(mask):
    program = normalize(export(AttentionProblem(mask), X))
    (node,) = [n for n in program.graph.nodes if "attention" in str(n.target)]
    assert node.kwargs["is_causal"] is True
    assert len(node.args) == 3


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (lambda x: torch.arange(6)[None, :] < torch.arange(6)[:, None] + 3, "not causal"),
        (lambda x: x[0, 0, :, :6] > 0, "depends on the inputs"),
    ],
)
def test_other_masks_are_refused(mask, message):
    with pytest.raises(CompileError, match=message):
        normalize(export(AttentionProblem(mask), X))


def test_dtypes_that_shaders_cannot_hold_are_refused():
    class Half(torch.nn.Module):
        def forward(self, x):
            return x.half() * 2

    with pytest.raises(CompileError, match="dtype torch.float16"):
        normalize(export(Half(), X))
