"""What is stored of a tensor, and what the compiled functions make of it."""

import numpy as np
import pytest
import torch

from wsd.bundle.quantize import encode, quantize, round_values
from wsd.errors import WsdError
from wsd.spec.parameter import Parameter, choose_storage
from wsd.spec.precision import DTYPES


def test_what_is_packed():
    chosen = {
        (dtype, role, use): choose_storage(dtype, role, use)
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


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e39, -1e300])
def test_what_is_stored_is_finite(storage, value):
    """A float64 that float32 cannot hold is read as finite, and would be stored as infinite."""
    tensor = torch.ones(4, 8, dtype=torch.float64)
    tensor[2, 3] = value
    with pytest.raises(WsdError, match=r"tensor unet.w holds (NaN|values beyond)") as caught:
        encode(Parameter("unet.w", (4, 8), storage), tensor)
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
