"""Normalised graphs and imported Relax against PyTorch, on the CPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from grain import GRAIN
from speck import LEVELS, SPECK, SPECK_XL, TINY_VAE
from tvm_cpu import run_on_cpu
from wsd.compiler import tvm_compat
from wsd.compiler.passes.channels_last import channels_last
from wsd.errors import CompileError
from wsd.frontend.entry_points import make_entry_point, make_entry_points
from wsd.frontend.export import trace_component
from wsd.frontend.normalize import normalize
from wsd.models.instantiate import build_module, build_skeleton
from wsd.models.registry import FAMILIES

# Of the models of few layers, what every run of the tests compares, and what the full tests do:
# the others are compared in the browser (tests/e2e/test_parity.py), or differ little.
USUAL = {("speck-xl", "text_encoder_2"), ("speck-xl", "unet"), ("grain", "text_encoder_3")}
FULL = {("grain", "vae")}


def choose_mark(family, component):
    """Return the mark of a component of a family."""
    key = (family.name, component.id)
    if key in USUAL:
        return ()
    return pytest.mark.full if key in FULL else pytest.mark.exhaustive


COMPONENTS = [
    pytest.param(family, component.id, size, marks=choose_mark(family, component))
    for families, size in (
        ((SPECK, SPECK_XL), (16, 16)),
        ((FAMILIES["tiny-sd15"], FAMILIES["tiny-sdxl"]), (64, 64)),
        ((GRAIN,), (24, 16)),
    )
    for family in families
    for component in family.components
]


def change(family, role, **config):
    """Return a family as a checkpoint whose configuration of one role differs makes it."""
    components = tuple(
        replace(c, config={**c.config, **config}) if c.role == role else c
        for c in family.components
    )
    return replace(family, name=f"{family.name}, {', '.join(config)}", components=components)


# What checkpoints change of their family: encoders of fewer layers, latents that are normalised, a
# UNet that takes the guidance scale as an input.
MEANS = {"latents_mean": [0.3, -1.2, 0.1, 2.0], "latents_std": [0.5, 1.5, 3.0, 0.8]}
COMPONENTS += [
    pytest.param(family, component, (16, 16), marks=marks)
    for family, component, marks in (
        (
            change(SPECK_XL, "text_encoder", num_hidden_layers=1),
            "text_encoder_2",
            pytest.mark.exhaustive,
        ),
        (change(SPECK_XL, "vae_decoder", **MEANS), "vae", pytest.mark.full),
        (change(SPECK, "denoiser", time_cond_proj_dim=32), "unet", pytest.mark.exhaustive),
    )
]
# Latents that do not halve evenly; they are drawn in the browser too (tests/e2e/test_sizes.py).
COMPONENTS += [
    pytest.param(LEVELS, "unet", (40, 56), marks=pytest.mark.exhaustive),
    pytest.param(LEVELS, "vae", (40, 56), marks=pytest.mark.exhaustive),
]
# A tiny autoencoder in place of the VAE.
COMPONENTS.append(pytest.param(TINY_VAE, "vae", (24, 40)))


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


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("quantizes", "size"),
    [
        (True, (40, 56)),
        (True, (32, 32)),
        (False, (32, 32)),
        (False, (40, 56)),
    ],
)
def test_the_encoder_gives_the_moments_of_diffusers(size, quantizes):
    """A VAE of four levels, whose three halvings pad below and to the right alone."""
    family = change(LEVELS, "vae_decoder", use_quant_conv=quantizes)
    own = {"encoder", *(["quant_conv"] if quantizes else [])}
    compare_encoder(family, size, own, lambda encoded: encoded.latent_dist.parameters)


@pytest.mark.full
def test_a_tiny_autoencoders_encoder_gives_the_latents_of_diffusers():
    compare_encoder(TINY_VAE, (24, 40), {"encoder"}, lambda encoded: encoded.latents)


def compare_encoder(family, size, modules, read):
    """Compare an encoder, with channels first and last, with what is read of diffusers' output."""
    torch.manual_seed(0)
    component = family.component("vae_decoder")
    model = build_module(component)
    made = list(make_entry_points(family, component, model, [size]))
    whole, tile = (e for e in made if e.part == "vae_encoder")
    assert (whole.role, tile.role) == ("vae_encoder", "vae_encoder_tile")
    assert tile.inputs[0].shape == (1, 3, family.tile, family.tile)
    trace = trace_component(component, whole)
    assert trace.component == "vae_encoder"
    assert {name.partition(".")[0] for name in names(trace)} == modules
    (image,) = make_inputs(whole.inputs)
    with torch.no_grad():
        expected = read(model.encode(image))
    state = dict(model.named_parameters())
    parameters = [state[name].detach().numpy() for name in names(trace)]
    module = tvm_compat.import_program(trace.program)
    for lowered in (module, channels_last(module)):
        [found] = run_on_cpu(lowered, [image.numpy()], parameters)
        assert found.shape == whole.outputs[0].shape
        assert np.linalg.norm(found - expected.numpy()) <= 1e-5 * np.linalg.norm(expected)


def test_a_vae_without_an_encoder_is_left_whole():
    family = SPECK.without_parts()
    component = family.component("vae_decoder")
    made = make_entry_points(family, component, build_skeleton(component), [(16, 16)])
    assert [e.role for e in made] == ["vae_decoder", "vae_decoder_tile"]


def test_an_encoder_of_fewer_layers_gives_the_state_that_diffusers_takes():
    torch.manual_seed(0)
    family = change(SPECK_XL, "text_encoder", num_hidden_layers=1)
    component = family.component("text_encoder")
    model = build_module(component)
    made = make_entry_point(family, component, model, (16, 16))
    (ids,) = make_inputs(made.inputs)
    with torch.no_grad():
        # StableDiffusionXLPipeline.encode_prompt
        expected = model(ids, output_hidden_states=True).hidden_states[-2]
        found = made.module(ids)
    assert torch.equal(found, expected)
    assert torch.equal(found, model.embeddings(ids))  # the layer that is left is not read
    trace = trace_component(component, made)
    assert not [name for name in names(trace) if "layers" in name]


def test_normalised_latents_are_unscaled_as_diffusers_does():
    family = change(SPECK_XL, "vae_decoder", **MEANS)
    component = family.component("vae_decoder")
    model = build_module(component)
    made = make_entry_point(family, component, model, (16, 16))
    (latents,) = make_inputs(made.inputs)
    mean, std = (torch.tensor(values).view(1, 4, 1, 1) for values in MEANS.values())
    # StableDiffusionXLPipeline.__call__
    scaled = latents * std / model.config.scaling_factor + mean
    with torch.no_grad():
        assert torch.equal(made.module(latents), model.decode(scaled).sample)


def resizes(program):
    return [n for n in program.graph.nodes if n.target is torch.ops.aten.upsample_nearest2d.vec]


def cuts(program):
    """Return (axis, end) of the slices along the height or the width of an image."""
    slices = [n for n in program.graph.nodes if n.target is torch.ops.aten.slice.Tensor]
    return [(n.args[1], n.args[3]) for n in slices if n.args[1] in (2, 3)]


# Heights and widths of latents on the UNet's three levels, and where a doubling is cut.
LEVELS_OF_LATENTS = {
    "7 4 2 by 5 3 2": ((40, 56), [(3, 3), (2, 7), (3, 5)]),
    "1 1 1 by 6 3 2": ((48, 8), [(2, 1), (3, 3), (2, 1)]),
    "8 4 2 by 4 2 1": ((32, 64), []),
}


@pytest.mark.parametrize(
    ("size", "expected_cuts"),
    [
        pytest.param(*case, id=name, marks=pytest.mark.exhaustive if number else ())
        for number, (name, case) in enumerate(LEVELS_OF_LATENTS.items())
    ],
)
def test_a_unet_of_uneven_latents_keeps_its_numbers(size, expected_cuts):
    torch.manual_seed(0)
    component = LEVELS.component("denoiser")
    model = build_module(component)
    made = make_entry_point(LEVELS, component, model, size)
    inputs = make_inputs(made.inputs)
    program = trace_component(component, made).program
    with torch.no_grad():
        expected = model(*inputs).sample
        found = program.module()(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-2
    assert cuts(program) == expected_cuts
    assert len(resizes(program)) == 2
    assert all(node.args[1:] == (None, [2.0, 2.0]) for node in resizes(program))


@pytest.mark.exhaustive
# Their latents: 65x65 and 93x125, whose halves are 33, 17 and 9, and 47, 24 and 12 by 63, 32, 16.
@pytest.mark.parametrize("size", [(520, 520), (1000, 744)])
def test_uneven_sizes_of_sd15_are_traced(size):
    family = FAMILIES["sd15"]
    component = family.component("denoiser")
    made = make_entry_point(family, component, build_skeleton(component), size)
    program = trace_component(component, made).program
    (result,) = program.graph.output_node().args[0]
    assert result.meta["val"].shape == (1, 4, size[1] // 8, size[0] // 8)
    assert len(resizes(program)) == 3


class Resize(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x):
        return torch.nn.functional.interpolate(x, size=self.size, mode="nearest")


@pytest.mark.parametrize("size", [(10, 6), (9, 6), (10, 5), (9, 5)])
def test_a_resize_to_a_size_is_a_doubling_that_is_cut(size):
    image = torch.randn(2, 3, 5, 3)
    program = normalize(export(Resize(size), image))
    [found] = run_on_cpu(tvm_compat.import_program(program), [image.numpy()])
    np.testing.assert_array_equal(found, Resize(size)(image).numpy())
    assert cuts(program) == [(axis, size[axis - 2]) for axis in (2, 3) if size[axis - 2] % 2]


@pytest.mark.parametrize("extent", [*range(1, 130), 2047])
def test_pytorch_takes_the_pixels_of_a_doubling(extent):
    pixels = torch.arange(extent, dtype=torch.float64).reshape(1, 1, -1)
    for after in (2 * extent - 1, 2 * extent):
        found = torch.nn.functional.interpolate(pixels, size=after, mode="nearest").flatten()
        assert torch.equal(found, pixels.flatten().repeat_interleave(2)[:after])


@pytest.mark.parametrize("size", [(15, 9), (5, 3), (8, 6), (11, 6)])
def test_other_resizes_are_refused(size):
    with pytest.raises(CompileError, match=f"maps an axis of 5 pixels to {size[0]} pixels"):
        normalize(export(Resize(size), torch.zeros(1, 3, 5, 3)))


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


class Einsum(torch.nn.Module):
    def __init__(self, equation):
        super().__init__()
        self.equation = equation

    def forward(self, x):
        return torch.einsum(self.equation, x)


def test_an_einsum_that_reorders_axes_is_a_permutation():
    x = torch.randn(2, 3, 4)
    program = normalize(export(Einsum("abc -> cab"), x))
    assert not any("einsum" in str(node.target) for node in program.graph.nodes)
    [found] = run_on_cpu(tvm_compat.import_program(program), [x.numpy()])
    np.testing.assert_array_equal(found, x.permute(2, 0, 1).numpy())


@pytest.mark.parametrize("equation", ["abc->ab", "aac->ac"])
def test_other_einsums_are_refused(equation):
    with pytest.raises(CompileError, match=f"computes '{equation}'"):
        normalize(export(Einsum(equation), torch.zeros(2, 2, 4)))


class Power(torch.nn.Module):
    def __init__(self, exponent):
        super().__init__()
        self.exponent = exponent

    def forward(self, x):
        return x.pow(self.exponent)


@pytest.mark.parametrize("exponent", [2, 3.0])
def test_squares_and_cubes_of_negative_numbers_are_products(exponent):
    x = torch.tensor([-2.5, 0.0, 3.0])
    program = normalize(export(Power(exponent), x))
    assert not any("pow" in str(node.target) for node in program.graph.nodes)
    [found] = run_on_cpu(tvm_compat.import_program(program), [x.numpy()])
    np.testing.assert_allclose(found, x.pow(exponent).numpy(), rtol=1e-6)


def test_other_powers_are_refused():
    with pytest.raises(CompileError, match="has the exponent 0.5"):
        normalize(export(Power(0.5), torch.ones(3)))


@pytest.mark.parametrize("affine", [(False, False), (True, False), (True, True)], ids=str)
def test_a_layer_norm_needs_no_scale_and_no_shift(affine):
    torch.manual_seed(0)
    scales, bias = affine
    norm = torch.nn.LayerNorm(6, elementwise_affine=scales, bias=bias, eps=1e-3)
    torch.nn.init.uniform_(norm.weight) if scales else None
    x = torch.randn(2, 3, 6)
    program = normalize(export(norm, x))
    parameters = [parameter.detach().numpy() for parameter in norm.parameters()]
    [found] = run_on_cpu(tvm_compat.import_program(program), [x.numpy()], parameters)
    np.testing.assert_allclose(found, norm(x).detach().numpy(), rtol=1e-4, atol=1e-5)


class AttentionProblem(torch.nn.Module):
    def __init__(self, mask=lambda x: None, scale=None):
        super().__init__()
        self.make_mask = mask
        self.scale = scale

    def forward(self, x):
        return torch.nn.functional.scaled_dot_product_attention(
            x, x, x, attn_mask=self.make_mask(x), scale=self.scale
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
        (lambda x: x[0, :, :, :6], "depends on the inputs"),
        (lambda x: x[:, :, :, :1], "depends on the inputs"),
    ],
)
def test_other_masks_are_refused(mask, message):
    with pytest.raises(CompileError, match=message):
        normalize(export(AttentionProblem(mask), X))


class ScaledAttention(torch.nn.Module):
    """Attention whose queries are made by a product, as every model's are."""

    def __init__(self, scale):
        super().__init__()
        self.product = torch.nn.Linear(16, 16, bias=False)
        self.scale = scale

    def forward(self, x):
        query = self.product(x).view(1, 6, 2, 8).transpose(1, 2)
        key = x.view(1, 6, 2, 8).transpose(1, 2)
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, key, attn_mask=key[..., :6], scale=self.scale
        )


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (AttentionProblem(lambda x: x[..., :6]), X),
        (AttentionProblem(lambda x: x[:, :1, :1, :6], scale=0.7), X),
        (AttentionProblem(scale=1.0), X),
        (ScaledAttention(8**-0.5), torch.zeros(1, 6, 16)),
        (ScaledAttention(1.0), torch.zeros(1, 6, 16)),
    ],
    ids=["bias", "broadcast bias, scale", "queries that are keys", "usual scale", "scale"],
)
def test_attention_with_a_bias_and_a_scale_of_its_own(module, x):
    torch.manual_seed(0)
    x = torch.randn_like(x)
    program = normalize(export(module, x))
    (node,) = [n for n in program.graph.nodes if "attention" in str(n.target)]
    given = [parameter.detach().numpy() for parameter in module.parameters()]
    [found] = run_on_cpu(tvm_compat.import_program(program), [x.numpy()], given)
    with torch.no_grad():
        np.testing.assert_allclose(found, module(x).numpy(), rtol=1e-5, atol=1e-6)
    # TVM's importers would ignore it.
    assert module.scale in (None, 8**-0.5) or "scale" not in node.kwargs


def test_a_scale_is_a_factor_of_the_product_that_makes_the_queries():
    graph = normalize(export(ScaledAttention(1.0), torch.zeros(1, 6, 16))).graph
    (factor,) = [n for n in graph.nodes if str(n.target) == "aten.mul.Tensor"]
    made, scale = factor.args
    assert str(made.target) == "aten.linear.default"
    assert scale == pytest.approx(8**0.5)


def test_dtypes_that_shaders_cannot_hold_are_refused():
    class Half(torch.nn.Module):
        def forward(self, x):
            return x.half() * 2

    with pytest.raises(CompileError, match="dtype torch.float16"):
        normalize(export(Half(), X))
