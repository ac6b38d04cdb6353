"""Normalised graphs and imported Relax against PyTorch, on the CPU."""

import numpy as np
import pytest
import torch

from wsd import tvm_compat
from wsd.errors import CompileError
from wsd.modules import build_module
from wsd.trace import Decoder, Denoiser, TextEncoder, normalize, trace_component

WRAPPERS = {"text_encoder": TextEncoder, "unet": Denoiser, "vae_decoder": Decoder}


def make_inputs(specs):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(0, 700, spec.shape, generator=generator, dtype=torch.int32)
        if spec.dtype == "int32"
        else torch.randn(spec.shape, generator=generator)
        for spec in specs
    ]


@pytest.mark.parametrize("role", list(WRAPPERS))
def test_imported_relax_computes_what_torch_computes(family, role):
    torch.manual_seed(0)
    component = family.component(role)
    model = build_module(component)
    trace = trace_component(family, component, model, (64, 64))
    inputs = make_inputs(trace.inputs)
    with torch.no_grad():
        expected = WRAPPERS[role](model)(*inputs).numpy()
    state = {**dict(model.named_parameters())}
    parameters = [state[name].detach().numpy() for name in trace.parameters]
    module = tvm_compat.import_program(trace.program)
    found = tvm_compat.run_on_cpu(module, [i.numpy() for i in inputs], parameters)
    assert found.shape == expected.shape == trace.outputs[0].shape
    assert np.linalg.norm(found - expected) <= 1e-5 * np.linalg.norm(expected)


def export(module, *inputs):
    with torch.no_grad():
        return torch.export.export(module.eval(), inputs)


class Attention(torch.nn.Module):
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
    program = normalize(export(Attention(mask), X))
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
        normalize(export(Attention(mask), X))


def test_dtypes_that_shaders_cannot_hold_are_refused():
    class Half(torch.nn.Module):
        def forward(self, x):
            return x.half() * 2

    with pytest.raises(CompileError, match="dtype torch.float16"):
        normalize(export(Half(), X))
