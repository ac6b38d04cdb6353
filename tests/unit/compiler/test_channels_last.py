"""channels_last: what it rewrites, and that the results stay the same."""

import numpy as np
import pytest
import tvm
from tvm.relax import op

from marks import some_of
from relax_functions import operators, relax_function
from tvm_cpu import run_on_cpu
from wsd.compiler.passes.channels_last import channels_last

IMAGE = (1, 4, 6, 5)
TRANSPOSE = "relax.permute_dims"


def transposes(module):
    return operators(module).count(TRANSPOSE)


def conv(emit, x, w):
    return emit(op.nn.conv2d(x, w, padding=(1, 1)))


def residual(emit, x, w, s, b):
    """A block of a VAE: normalise, activate, convolve, add."""
    normal = emit(op.nn.group_norm(x, s, b, num_groups=2, channel_axis=1, axes=[2, 3]))
    return emit(op.add(x, conv(emit, emit(op.nn.silu(normal)), w)))


def attention(emit, x, w):
    """Pixels in one row and back, around a matmul, as a transformer block has it."""
    rows = emit(op.reshape(conv(emit, x, w), (1, 4, 30)))
    rows = emit(op.permute_dims(rows, [0, 2, 1]))
    doubled = emit(op.add(rows, rows))
    image = emit(op.reshape(emit(op.permute_dims(doubled, [0, 2, 1])), IMAGE))
    return conv(emit, image, w)


def upsample(emit, x, w):
    large = emit(op.image.resize2d(conv(emit, x, w), (12, 10), method="nearest_neighbor"))
    return conv(emit, large, w)


def upsample_and_cut(emit, x, w):
    large = emit(op.image.resize2d(conv(emit, x, w), (12, 10), method="nearest_neighbor"))
    rows = emit(op.strided_slice(large, [2], [0], [11], [1]))
    return conv(emit, emit(op.strided_slice(rows, [3], [0], [9], [1])), w)


def pad_below_and_right(emit, x, w):
    """The VAE's encoder halves so: one row and one column of zeros after the last ones."""
    padded = emit(op.nn.pad(conv(emit, x, w), [0, 0, 0, 0, 0, 1, 0, 1]))
    return emit(op.nn.conv2d(padded, w, strides=(2, 2)))


def pad_twice(emit, x, w):
    padded = emit(op.nn.pad(conv(emit, x, w), [0, 0, 0, 0, 2, 0, 1, 0]))
    return emit(op.nn.conv2d(padded, w, padding=(0, 1, 3, 2)))


def concat(emit, x, w):
    once = conv(emit, x, w)
    twice = conv(emit, once, w)
    joined = emit(op.concat([once, twice], axis=1))
    return emit(op.multiply(joined, joined))


WEIGHT = {"w": (4, 4, 3, 3)}
NORM = {"s": (4,), "b": (4,)}
# Two transposes are left: of the input and of the result, where these are images.
BLOCKS = [
    (residual, {**WEIGHT, **NORM}, 2),
    (attention, WEIGHT, 2),
    (upsample, WEIGHT, 2),
    (upsample_and_cut, WEIGHT, 2),
    (concat, WEIGHT, 2),
    (pad_below_and_right, WEIGHT, 2),
    (pad_twice, WEIGHT, 2),
]


@pytest.mark.parametrize(("block", "parameters", "left"), BLOCKS)
def test_only_input_and_result_are_transposed(block, parameters, left):
    def model(emit, x, *weights):
        return block(emit, conv(emit, x, weights[0]), *weights)

    module = relax_function({"x": IMAGE, **parameters}, model)
    assert transposes(channels_last(module)) == left


@pytest.mark.slow
@pytest.mark.parametrize(("block", "parameters", "_left"), some_of(BLOCKS, 3))
def test_results_stay_the_same(block, parameters, _left):
    def model(emit, x, *weights):
        return block(emit, conv(emit, x, weights[0]), *weights)

    rng = np.random.default_rng(0)
    shapes = {"x": IMAGE, **parameters}
    arrays = [0.2 * rng.standard_normal(shape).astype("float32") for shape in shapes.values()]
    module = relax_function(shapes, model)
    [expected] = run_on_cpu(module, arrays)
    [found] = run_on_cpu(channels_last(module), arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_convolution_becomes_the_one_that_is_written_here():
    found = channels_last(relax_function({"x": IMAGE, **WEIGHT}, conv))

    def expected(emit, x, w):
        turned = emit(op.permute_dims(x, [0, 2, 3, 1]))
        made = emit(op.nn.conv2d(turned, w, padding=(1, 1), data_layout="NHWC", out_layout="NHWC"))
        return emit(op.permute_dims(made, [0, 3, 1, 2]))

    tvm.ir.assert_structural_equal(found, relax_function({"x": IMAGE, **WEIGHT}, expected))


@pytest.mark.parametrize(
    ("widths", "how"),
    [
        ([0, 0, 0, 0, 0, 1, 0, 1], {"pad_value": 1.0}),
        ([0, 0, 0, 0, 1, 1, 1, 1], {"pad_mode": "reflect"}),
        ([0, 0, 0, 1, 0, 1, 0, 1], {}),
    ],
    ids=["ones", "reflected", "channels"],
)
def test_other_padding_is_left_to_tvm(widths, how):
    def body(emit, x, w):
        return emit(op.nn.conv2d(emit(op.nn.pad(x, widths, **how)), w))

    shapes = {"x": IMAGE, "w": (4, 5 if widths[3] else 4, 3, 3)}
    module = relax_function(shapes, body)
    assert operators(channels_last(module)).count("relax.nn.pad") == 1


def test_transposes_that_undo_each_other_vanish():
    def twice(emit, x):
        once = emit(op.permute_dims(x, [0, 2, 3, 1]))
        return emit(op.add(emit(op.permute_dims(once, [0, 3, 1, 2])), x))

    assert transposes(relax_function({"x": IMAGE}, twice)) == 2
    assert transposes(channels_last(relax_function({"x": IMAGE}, twice))) == 0


def test_what_is_no_image_is_left_alone():
    def rows(emit, x, s, b):
        normal = emit(op.nn.layer_norm(x, s, b, axes=[-1]))
        return emit(op.nn.gelu(emit(op.add(normal, x))))

    module = relax_function({"x": (1, 7, 4), **NORM}, rows)
    tvm.ir.assert_structural_equal(channels_last(module), module)
