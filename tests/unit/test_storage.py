"""What is stored of a tensor, and what the compiled functions make of it."""

import numpy as np
import pytest
import torch

from wsd.bundle.quantize import encode, pack_int4, quantize, quantize_groups, round_values
from wsd.errors import WsdError
from wsd.spec.parameter import GROUP, Parameter, choose_storage
from wsd.spec.precision import DTYPES


def test_what_is_packed():
    chosen = {
        (dtype, role, use): choose_storage(dtype, role, use, (4, 2 * GROUP))
        for dtype in DTYPES
        for role in ("text_encoder", "denoiser", "vae_decoder")
        for use in ("gemm", "embedding", "other")
    }
    assert {storage for (_, _, use), storage in chosen.items() if use == "other"} == {"float32"}
    assert {storage for (dtype, *_), storage in chosen.items() if dtype == "f32"} == {"float32"}
    assert chosen["f16", "denoiser", "gemm"] == "float16"
    assert chosen["w8a16", "denoiser", "gemm"] == "int8"
    assert chosen["w8a16", "text_encoder", "embedding"] == "float16"
    assert chosen["w8a16", "vae_decoder", "gemm"] == "float16"
    assert chosen["w4a16", "denoiser", "gemm"] == "int4"
    assert chosen["w4a16", "text_encoder", "embedding"] == "float16"
    assert chosen["w4a16", "vae_decoder", "gemm"] == "float16"


@pytest.mark.parametrize(
    ("shape", "is_sensitive", "storage"),
    [
        ((4, GROUP), False, "int4"), ((4, GROUP, 3, 3), False, "int4"),
        ((4, GROUP), True, "int8"), ((4, GROUP + 4), False, "int8"),
        ((320, 4, 3, 3), False, "int8"), ((GROUP,), False, "int8"),
    ],
)  # fmt: skip
def test_what_keeps_int8_under_w4a16(shape, is_sensitive, storage):
    found = choose_storage("w4a16", "denoiser", "gemm", shape, is_sensitive=is_sensitive)
    assert found == storage


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2, 3, 3)])
def test_float16_fills_whole_words(shape):
    tensor = torch.randn(shape)
    parameter = Parameter("w", shape, "float16")
    [buffer] = encode(parameter, tensor)
    assert len(buffer.data) == 4 * parameter.words
    halves = np.frombuffer(buffer.data, "<f2")[: tensor.numel()].reshape(shape)
    np.testing.assert_array_equal(halves, tensor.half().numpy())
    assert torch.equal(round_values(tensor, "float16"), tensor.half().float())


def test_int8_has_a_scale_for_each_output_channel():
    tensor = torch.randn(5, 3, 3, 3) * torch.tensor([1e-3, 1, 1e3, 0, 7]).view(-1, 1, 1, 1)
    parameter = Parameter("w", tuple(tensor.shape), "int8")
    words, scales = encode(parameter, tensor)
    assert len(words.data) == 4 * parameter.words
    assert (scales.name, scales.shape) == ("w.scale", (5,))
    values = np.frombuffer(words.data, "i1")[: tensor.numel()].reshape(tensor.shape)
    factors = np.frombuffer(scales.data, "<f4").reshape(-1, 1, 1, 1)
    rounded = round_values(tensor, "int8")
    np.testing.assert_array_equal(values * factors, rounded.numpy())
    # Half a step is the most that rounding moves a weight.
    assert ((rounded - tensor).abs() <= torch.tensor(factors) * 0.501).all()


def test_int8_is_symmetric():
    scales, quantized = quantize(torch.tensor([[-2.0, 1.0, 2.0], [0.0, 0.0, 0.0]]))
    assert quantized.tolist() == [[-127, 64, 127], [0, 0, 0]]
    assert scales.tolist() == pytest.approx([2 / 127, 1])


def test_what_is_too_large_for_float16_is_refused():
    with pytest.raises(WsdError, match="unet.big holds values beyond float16"):
        encode(Parameter("unet.big", (1,), "float16"), torch.tensor([1e5]))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("storage", ["float32", "float16", "int8", "int4"])
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e39, -1e300])
def test_what_is_stored_is_finite(storage, value):
    """A float64 that float32 cannot hold is read as finite, and would be stored as infinite."""
    tensor = torch.ones(4, GROUP, dtype=torch.float64)
    tensor[2, 3] = value
    with pytest.raises(WsdError, match=r"tensor unet.w holds (NaN|values beyond)") as caught:
        encode(Parameter("unet.w", (4, GROUP), storage), tensor)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("dtype", "storage", "value"),
    [
        (torch.float8_e4m3fn, "float16", 448), (torch.float8_e5m2, "float16", 57344),
        (torch.float32, "float16", 65519), (torch.float32, "float16", -65519),
        (torch.float64, "float32", 3.4e38), (torch.float32, "int8", 3.4e38),
        (torch.bfloat16, "float32", 3e38),
    ],
)  # fmt: skip
def test_the_largest_values_of_each_format_are_stored(dtype, storage, value):
    tensor = torch.full((4, 8), value, dtype=torch.float32 if dtype != torch.float64 else dtype)
    encoded = encode(Parameter("w", (4, 8), storage), tensor.to(dtype))
    kinds = {"float32": "<f4", "float16": "<f2", "int8": "i1"}
    values = np.frombuffer(encoded[0].data, kinds[storage])
    assert np.isfinite(values).all()


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16])
def test_a_nan_of_a_short_float_is_seen(dtype):
    tensor = torch.ones(4, 8)
    tensor[0, 0] = NAN
    with pytest.raises(WsdError, match="holds NaN"):
        encode(Parameter("w", (4, 8), "float16"), tensor.to(dtype))


def test_a_scale_does_not_underflow():
    """Weights near the least float32 have no scale that is not zero."""
    scales, quantized = quantize(torch.full((2, 3), 1e-44))
    assert scales.tolist() == [1, 1]
    assert quantized.tolist() == [[0] * 3] * 2


def round_group(values):
    """Return (scale, steps) of one group of int4, by NumPy alone; see quantize_groups."""
    extreme = values[np.abs(values).argmax()]
    best = None
    for step in (-7.2, -7.6, -8.0, -8.4, -8.8):
        first = quantized(values, np.float32(extreme / np.float32(step)))
        squares = (first.astype(float) ** 2).sum()
        scale = np.float16((values.astype(float) * first).sum() / squares if squares else 0)
        steps = quantized(values, np.float32(scale))
        error = ((steps * float(scale) - values.astype(float)) ** 2).sum()
        if best is None or error < best[0]:
            best = (error, scale, steps)
    return best


def quantized(values, scale):
    return np.clip(np.rint(values / scale), -8, 7) if scale else np.zeros_like(values)


INT4_SHAPES = {"row": (1, 32), "rows": (5, 96), "conv": (3, 32, 3, 3), "1x1": (7, 64, 1, 1)}


@pytest.mark.parametrize("shape", INT4_SHAPES.values(), ids=INT4_SHAPES)
def test_int4_is_the_nearest_of_a_few_scales_of_each_group(shape):
    """Groups of every size, of zeros, with extremes of both signs, and one that underflows."""
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    stored = tensor.permute(0, 2, 3, 1).contiguous() if len(shape) == 4 else tensor
    groups = stored.view(-1, GROUP)
    sizes = torch.tensor([1e-3, 1, 1e3, 0, 7, 1e-9, 1e-6])
    groups *= sizes.repeat(-(-len(groups) // len(sizes)))[: len(groups), None]
    parameter = Parameter("w", shape, "int4", channels_last=len(shape) == 4)
    tensor = stored.permute(0, 3, 1, 2) if len(shape) == 4 else stored
    words, scales = encode(parameter, tensor)
    assert len(words.data) == 4 * parameter.words
    assert (scales.name, scales.storage) == ("w.scale", "float16")
    assert scales.shape == (shape[0], len(groups) // shape[0])
    octets = np.frombuffer(words.data, "u1")
    fields = np.stack([octets & 15, octets >> 4], axis=1).reshape(-1, GROUP).astype(int)
    steps = fields - 16 * (fields > 7)
    factors = np.frombuffer(scales.data, "<f2")[: len(groups)]
    for group, found, scale in zip(groups.numpy(), steps, factors, strict=True):
        error, _, _ = round_group(group)
        wrong = ((found * float(scale) - group.astype(float)) ** 2).sum()
        # Of two scales with nearly the same error, rounding may take the other one.
        assert wrong <= error * (1 + 1e-4)
        assert found.min() >= -8
        assert found.max() <= 7
    read = (steps * factors.astype(np.float32)[:, None]).reshape(stored.shape)
    rounded = round_values(tensor, "int4")
    assert rounded.shape == tensor.shape
    rounded = rounded.permute(0, 2, 3, 1) if len(shape) == 4 else rounded
    np.testing.assert_array_equal(read.astype(np.float32), rounded.numpy())


def test_int4_uses_its_largest_step_on_the_side_of_the_extreme():
    values = torch.zeros(2, GROUP)
    values[0, :3] = torch.tensor([8.0, -7.0, 1.0])
    values[1, :3] = torch.tensor([-8.0, 7.0, 1.0])
    scales, steps = quantize_groups(values)
    assert scales.tolist() == [[-1], [1]]
    assert steps[:, :3].tolist() == [[-8, 7, -1], [-8, 7, 1]]


def test_zeros_and_the_least_values_are_zeros_in_int4():
    for value in (0.0, 1e-44, -1e-9):
        scales, steps = quantize_groups(torch.full((2, GROUP), value))
        assert scales.tolist() == [[0], [0]]
        assert not steps.any()


def test_the_order_of_rows_and_blocks_changes_no_group():
    """More groups than are quantised at a time."""
    values = torch.randn(90, 4096, generator=torch.Generator().manual_seed(1))
    scales, steps = quantize_groups(values)
    for row in (0, 64, 89):
        alone_scales, alone = quantize_groups(values[row : row + 1])
        assert torch.equal(alone_scales[0], scales[row])
        assert torch.equal(alone[0], steps[row])


def test_int4_is_packed_with_the_first_value_in_the_low_bits():
    assert pack_int4(np.array([1, -1, 7, -8, 3], np.int8)).tolist() == [0xF1, 0x87, 0x03]


def test_an_int4_weight_whose_values_float16_cannot_hold_is_refused():
    with pytest.raises(WsdError, match="unet.w holds values beyond float16") as caught:
        encode(Parameter("unet.w", (1, GROUP), "int4"), torch.full((1, GROUP), 1e5))
    assert caught.value.hint == "build with --dtype f32"
