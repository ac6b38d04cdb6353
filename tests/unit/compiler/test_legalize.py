"""The legalizers: which calls they lower, and that the TIR computes numpy's values on the CPU."""

import numpy as np
import pytest
import torch
from tvm.relax import op

from marks import some_of
from relax_functions import operators, relax_function, tir_functions
from tvm_cpu import run_on_cpu
from wsd.compiler.dump import Dump
from wsd.compiler.passes.pack_parameters import Signature
from wsd.compiler.pipeline import lowering_passes, run_passes
from wsd.compiler.tvm_compat import Schedule, normalize_prim_func
from wsd.errors import CompileError
from wsd.spec.parameter import Parameter

RNG = np.random.default_rng(0)


def legalize(module, signatures=()):
    """Run the passes up to the removal of what the legalizers looked through."""
    passes = lowering_passes(dict(signatures))
    last = [step.name for step in passes].index("dead_code_elimination")
    left_out = ("bundle_model_params",)
    return run_passes([p for p in passes[: last + 1] if p.name not in left_out], module, Dump())


def check(shapes, body, expected, **tolerance):
    """Compare a legalized function with what numpy or torch computes of the same inputs."""
    arrays = [RNG.standard_normal(shape).astype("float32") for shape in shapes.values()]
    module = legalize(relax_function(shapes, body))
    [found] = run_on_cpu(module, arrays)
    wanted = expected(*map(torch.from_numpy, arrays)).numpy()
    np.testing.assert_allclose(found, wanted, **{"rtol": 2e-4, "atol": 2e-5, **tolerance})
    return module


def stages(module):
    """Return the blocks of every TIR function."""
    return {
        name: [str(block.name) for block in normalize_prim_func(Schedule(function))]
        for name, function in tir_functions(module).items()
    }


@pytest.mark.slow
def test_a_linear_layer_reads_its_weight_in_place():
    module = check(
        {"x": (2, 7, 6), "w": (5, 6)},
        lambda emit, x, w: emit(op.matmul(x, emit(op.permute_dims(w)))),
        torch.nn.functional.linear,
    )
    assert operators(module)[-1] == "linear"
    assert stages(module)["linear"] == ["linear"]  # nothing transposes the weight


@pytest.mark.slow
def test_a_matmul_of_two_results_is_tvms():
    module = check(
        {"x": (2, 7, 6), "y": (2, 6, 5)}, lambda emit, x, y: emit(op.matmul(x, y)), torch.matmul
    )
    assert operators(module) == ["matmul"]


def convolve(emit, x, w, times=1, cut=(0, 0), **attributes):
    """Convolve an image that comes with its channels last, doubled and cut if times is 2."""
    x = emit(op.permute_dims(x, [0, 3, 1, 2]))
    if times > 1:
        size = tuple(times * int(extent) for extent in IMAGE[2:])
        x = emit(op.image.resize2d(x, size, method="nearest_neighbor"))
        for axis, less in zip((2, 3), cut, strict=True):
            if less:
                x = emit(op.strided_slice(x, [axis], [0], [size[axis - 2] - less], [1]))
    return emit(op.nn.conv2d(x, w, **attributes))


IMAGE = (1, 4, 6, 5)
CHANNELS_LAST = (1, 6, 5, 4)


@pytest.mark.slow
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1)])
@pytest.mark.parametrize(
    ("times", "cut"), some_of([(1, (0, 0)), (2, (0, 0)), (2, (1, 1)), (2, (0, 3))], 2)
)
def test_convolutions(stride, kernel, padding, times, cut):
    weight = (3, 4, kernel, kernel)
    module = relax_function(
        {"x": CHANNELS_LAST, "w": weight},
        lambda emit, x, w: convolve(
            emit, x, w, times, cut, strides=(stride, stride), padding=(padding, padding)
        ),
    )
    parameter = Parameter("w", weight, channels_last=True)
    module = legalize(module, {"main": Signature(1, (parameter,))})
    # A doubled image is read as it was.
    assert not [name for name in operators(module) if "resize" in name or "slice" in name]
    assert "conv2d" in operators(module)
    x, w = (RNG.standard_normal(shape).astype("float32") for shape in (IMAGE, weight))
    given = [np.ascontiguousarray(array.transpose(0, 2, 3, 1)) for array in (x, w)]
    [found] = run_on_cpu(module, given)
    image = torch.from_numpy(x.repeat(times, 2).repeat(times, 3))
    image = image[:, :, : image.shape[2] - cut[0], : image.shape[3] - cut[1]]
    expected = torch.nn.functional.conv2d(image, torch.from_numpy(w), None, stride, padding)
    np.testing.assert_allclose(found, expected.numpy(), rtol=2e-4, atol=2e-5)


@pytest.mark.slow
def test_a_dilated_convolution_is_tvms():
    weight = (3, 4, 3, 3)
    module = relax_function(
        {"x": CHANNELS_LAST, "w": weight},
        lambda emit, x, w: convolve(emit, x, w, padding=(2, 2), dilation=(2, 2)),
    )
    module = legalize(module, {"main": Signature(1, (Parameter("w", weight, channels_last=True),))})
    x, w = (RNG.standard_normal(shape).astype("float32") for shape in (IMAGE, weight))
    given = [np.ascontiguousarray(array.transpose(0, 2, 3, 1)) for array in (x, w)]
    [found] = run_on_cpu(module, given)
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(x), torch.from_numpy(w), padding=2, dilation=2
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=2e-4, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("causal", [None, "TopLeft"])
@pytest.mark.parametrize("keys", some_of([9, 7], 2))
def test_attention(causal, keys):
    shapes = {"q": (1, 7, 2, 4), "k": (1, keys, 2, 4), "v": (1, keys, 2, 4)}

    def expected(q, k, v):
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        mixed = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=causal is not None
        )
        return mixed.transpose(1, 2)

    module = check(
        shapes, lambda emit, q, k, v: emit(op.nn.attention(q, k, v, causal_mask=causal)), expected
    )
    assert operators(module) == ["attention_statistics", "attention"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "heads", "queries"), some_of([(1, 2, 7), (3, 2, 7), (3, 1, 7), (1, 2, 1)], 2)
)
def test_attention_with_a_bias(batch, heads, queries):
    """What is added to the scaled scores, of each head or of all, of each query or of all."""
    shapes = {"q": (3, 7, 2, 4), "k": (3, 9, 2, 4), "v": (3, 9, 2, 4)}
    shapes["bias"] = (batch, heads, queries, 9)

    def expected(q, k, v, bias):
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return mixed.transpose(1, 2)

    module = check(shapes, lambda emit, *given: emit(op.nn.attention(*given)), expected)
    assert operators(module) == ["attention_statistics", "attention"]


@pytest.mark.slow
def test_group_norm_with_channels_last():
    def body(emit, x, s, b):
        return emit(
            op.nn.group_norm(x, s, b, num_groups=2, channel_axis=3, axes=[1, 2], epsilon=1e-5)
        )

    def expected(x, s, b):
        # Far from zero: E[x²] - E[x]² would lose the digits.
        image = x.permute(0, 3, 1, 2)
        return torch.nn.functional.group_norm(image, 2, s, b, 1e-5).permute(0, 2, 3, 1)

    module = check({"x": (2, 5, 3, 4), "s": (4,), "b": (4,)}, body, expected)
    assert operators(module) == ["group_total", "group_spread", "normalize"]


@pytest.mark.slow
def test_layer_norm_keeps_the_digits_of_activations_far_from_zero():
    shapes = {"x": (2, 3, 8), "s": (8,), "b": (8,)}
    module = legalize(
        relax_function(shapes, lambda emit, x, s, b: emit(op.nn.layer_norm(x, s, b, axes=[-1])))
    )
    assert operators(module) == ["layer_total", "layer_spread", "normalize"]
    x, s, b = (RNG.standard_normal(shape).astype("float32") for shape in shapes.values())
    x += 1000
    [found] = run_on_cpu(module, [x, s, b])
    exact = x.astype("float64")
    normal = (exact - exact.mean(-1, keepdims=True)) / np.sqrt(exact.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(found, normal * s + b, rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_norms_of_other_axes_are_tvms():
    shapes = {"x": (2, 3, 8), "s": (3, 8), "b": (3, 8)}
    module = check(
        shapes,
        lambda emit, x, s, b: emit(op.nn.layer_norm(x, s, b, axes=[-2, -1])),
        lambda x, s, b: torch.nn.functional.layer_norm(x, (3, 8), s, b),
    )
    assert operators(module) == ["layer_norm"]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 3, 5, 64), (1, 77, 48), (3, 7)], ids=str)
def test_the_mean_of_rows_is_a_kernel_of_sums(shape):
    module = check(
        {"x": shape},
        lambda emit, x: emit(op.mean(x, [-1], keepdims=True)),
        lambda x: x.mean(-1, keepdim=True),
    )
    assert operators(module) == ["row_total", "mean"]


@pytest.mark.slow
@pytest.mark.parametrize(("axes", "keep"), [([-1], False), ([1], True), ([1, 2], True)], ids=str)
def test_other_means_are_tvms(axes, keep):
    module = check(
        {"x": (2, 3, 8)},
        lambda emit, x: emit(op.mean(x, axes, keepdims=keep)),
        lambda x: x.mean(axes, keepdim=keep),
    )
    assert operators(module) == ["mean"]


@pytest.mark.slow
@pytest.mark.parametrize(("operator", "exact"), [(op.sin, np.sin), (op.cos, np.cos)])
def test_sine_and_cosine(operator, exact):
    x = np.linspace(-1000, 8000, 4096, dtype="float32")
    module = legalize(relax_function({"x": x.shape}, lambda emit, x: emit(operator(x))))
    assert operators(module) in (["sine"], ["cosine"])
    [found] = run_on_cpu(module, [x])
    np.testing.assert_allclose(found, exact(x.astype("float64")), rtol=0, atol=2e-7)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_a_lookup_reads_packed_rows(storage):
    parameter = Parameter("w", (9, 4), storage)
    module = relax_function(
        {"i": ((5,), "int32"), "w": (9, 4)}, lambda emit, i, w: emit(op.take(w, i, axis=0))
    )
    module = legalize(module, {"main": Signature(1, (parameter,))})
    assert operators(module) == ["take"]  # the table is not unpacked
    table = RNG.standard_normal((9, 4)).astype("float16").astype("float32")
    stored = table if storage == "float32" else table.astype("float16").ravel().view("uint32")
    indices = np.array([8, 0, 3, 3, 1], "int32")
    [found] = run_on_cpu(module, [indices, stored])
    np.testing.assert_array_equal(found, table[indices])


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_a_linear_layer_reads_packed_weights(storage):
    parameter = Parameter("w", (8, 6), storage)
    module = relax_function(
        {"x": (7, 6), "w": (8, 6)},
        lambda emit, x, w: emit(op.matmul(x, emit(op.permute_dims(w)))),
    )
    module = legalize(module, {"main": Signature(1, (parameter,))})
    assert operators(module) == ["linear"]
    x = RNG.standard_normal((7, 6)).astype("float32")
    if storage == "float16":
        weight = RNG.standard_normal((8, 6)).astype("float16")
        given = [x, weight.ravel().view("uint32")]
        exact = weight.astype("float64")
    else:
        values = RNG.integers(-127, 128, (8, 6), dtype="int8")
        scales = RNG.random(8, "float32")
        given = [x, np.frombuffer(values.tobytes(), "uint32"), scales]
        exact = values * scales[:, None].astype("float64")
    [found] = run_on_cpu(module, given)
    np.testing.assert_allclose(found, x @ exact.T, rtol=1e-4, atol=1e-4)


def test_an_operator_without_tir_is_named():
    module = relax_function({"x": (4,)}, lambda emit, x: emit(op.unique(x)))
    with pytest.raises(CompileError, match=r"main: TVM .* cannot lower relax\.\w+"):
        legalize(module)
