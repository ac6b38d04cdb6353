"""Which TIR functions are matched as GEMMs, from Relax that is written here and lowered."""

import pytest
from tvm import te
from tvm.relax import BlockBuilder, op

from wsd.compiler.dump import Dump
from wsd.compiler.match.gemm import match_gemm
from wsd.compiler.passes.pack_parameters import Signature
from wsd.compiler.pipeline import lowering_passes, run_passes
from wsd.compiler.tvm_compat import shape_of, tensor_variable, tir
from wsd.kernels.problem import Conv2d
from wsd.spec.parameter import Parameter

X = ("x", (2, 77, 192))
LINEAR_WEIGHT = Parameter("w", (72, 192))
# An image with channels last, and a weight as PyTorch has it: (out, in, ky, kx).
IMAGE = ("x", (2, 8, 6, 32))
CONV_WEIGHT = Parameter("w", (40, 32, 3, 3), "float16", channels_last=True)


def lower(inputs, weights, body):
    """Return the TIR functions of a model before they are scheduled, by name.

    Args:
        inputs: (name, shape) of float32 inputs.
        weights: parameters of the model.
        body: takes a function that emits an expression, the inputs and the weights; returns
            the result's expression.
    """
    builder = BlockBuilder()
    variables = [tensor_variable(name, shape, "float32") for name, shape in inputs]
    variables += [tensor_variable(w.name, w.shape, "float32") for w in weights]
    with builder.function("main", variables):
        with builder.dataflow():
            result = builder.emit_output(body(builder.emit, *variables))
        builder.emit_func_output(result)
    signatures = {"main": Signature(len(inputs), tuple(weights))}
    module = run_passes(lowering_passes(signatures), builder.get(), Dump())
    functions = dict(module.functions_items())
    return {str(v.name_hint): f for v, f in functions.items() if isinstance(f, tir.PrimFunc)}


def match(inputs, weights, body):
    """Return the GEMM problems that are matched in a model."""
    problems = [match_gemm(function) for function in lower(inputs, weights, body).values()]
    return [problem for problem in problems if problem is not None]


def linear(emit, x, w):
    return emit(op.matmul(x, emit(op.permute_dims(w))))


def conv2d(emit, x, w, upsample=1, cut=(0, 0), **attributes):
    """Return a convolution of an image with channels last, upsampled and then cut."""
    image = emit(op.permute_dims(x, [0, 3, 1, 2]))
    if upsample > 1:
        _, _, height, width = shape_of(image)
        image = emit(
            op.image.resize2d(
                image,
                (height * upsample, width * upsample),
                method="nearest_neighbor",
                coordinate_transformation_mode="asymmetric",
                rounding_method="floor",
            )
        )
        for axis, less in zip((2, 3), cut, strict=True):
            if less:
                end = shape_of(image)[axis] - less
                image = emit(op.strided_slice(image, [axis], [0], [end], [1]))
    return emit(op.nn.conv2d(image, w, **attributes))


@pytest.mark.parametrize("storage", ["float32", "float16", "int8"])
def test_linear_layer(storage):
    weight = Parameter("w", (72, 192), storage)
    [problem] = match([X], [weight], linear)
    assert (problem.m, problem.n, problem.k) == (154, 72, 192)
    assert problem.weights == storage
    assert problem.conv is None
    # The scales of int8, one for each n, belong to the epilogue.
    scales = ("w.scale",) if storage == "int8" else ()
    assert problem.buffers[1:] == ("x", "w", *scales)
    assert problem.epilogue == ("(value * e0[n])" if scales else "value")


def test_linear_layer_of_int4():
    """Its scales are an operand of the sums, and so no epilogue."""
    inputs = [X, ("bias", (72,))]
    weight = Parameter("w", (72, 192), "int4")
    [problem] = match(inputs, [weight], lambda emit, x, bias, w: op.add(linear(emit, x, w), bias))
    assert (problem.m, problem.n, problem.k, problem.weights) == (154, 72, 192, "int4")
    assert problem.operands == ("x", "w", "w.scale")
    assert problem.epilogue_operands == ("bias",)
    assert problem.epilogue == "(value + e0[n])"


def test_convolution_of_int4():
    weight = Parameter("w", (40, 32, 3, 3), "int4", channels_last=True)
    [problem] = match([IMAGE], [weight], lambda *args: conv2d(*args, padding=1))
    assert problem.conv == Conv2d(2, 8, 6, 32, 8, 6, 3, 1, 1)
    assert (problem.k, problem.weights) == (288, "int4")
    assert problem.operands == ("x", "w", "w.scale")


def test_bias_and_residual_are_an_epilogue():
    inputs = [X, ("bias", (72,)), ("residual", (2, 77, 72))]

    def body(emit, x, bias, residual, w):
        return op.add(residual, emit(op.add(linear(emit, x, w), bias)))

    [problem] = match(inputs, [LINEAR_WEIGHT], body)
    assert problem.buffers[1:] == ("x", "w", "residual", "bias")
    assert problem.epilogue == "(e0[at] + (value + e1[n]))"


def test_operand_for_each_image_is_read_at_a_row_divided_by_its_rows():
    inputs = [X, ("shift", (2, 1, 72))]
    [problem] = match(
        inputs, [LINEAR_WEIGHT], lambda emit, x, shift, w: op.add(linear(emit, x, w), shift)
    )
    assert problem.epilogue == "(value + e0[(((m / 77u) * 72u) + n)])"


@pytest.mark.parametrize(
    ("activation", "epilogue"),
    [
        (op.nn.silu, "(value * (1.0f / (1.0f + exp(-value))))"),
        (op.nn.gelu, "(value * (0.5f + (erf((value * 0.7071067811865476f)) * 0.5f)))"),
        (op.tanh, "tanh(value)"),
        (op.nn.relu, "max(value, 0.0f)"),
    ],
)
def test_activation_is_an_epilogue(activation, epilogue):
    [problem] = match([X], [LINEAR_WEIGHT], lambda emit, x, w: activation(linear(emit, x, w)))
    assert problem.epilogue == epilogue


def test_operand_that_is_read_twice_is_bound_once():
    inputs = [X, ("bias", (72,))]
    [problem] = match(
        inputs,
        [LINEAR_WEIGHT],
        lambda emit, x, bias, w: op.nn.silu(emit(op.add(linear(emit, x, w), bias))),
    )
    assert problem.buffers[1:] == ("x", "w", "bias")
    assert problem.epilogue.count("e0[n]") == 2


CONVOLUTIONS = {
    "plain": ({"padding": 1}, 3, Conv2d(2, 8, 6, 32, 8, 6, 3, 1, 1)),
    "stride": ({"padding": 1, "strides": 2}, 3, Conv2d(2, 8, 6, 32, 4, 3, 3, 2, 1)),
    "1x1": ({}, 1, Conv2d(2, 8, 6, 32, 8, 6, 1, 1, 0)),
    "zeros after the last row and column": (
        {"padding": (0, 0, 1, 1), "strides": 2},
        3,
        Conv2d(2, 8, 6, 32, 4, 3, 3, 2, 0),
    ),
    "two zeros after the last row and column": (
        {"padding": (0, 0, 2, 2)},
        3,
        Conv2d(2, 8, 6, 32, 8, 6, 3, 1, 0),
    ),
    "unpadded": ({}, 3, Conv2d(2, 8, 6, 32, 6, 4, 3, 1, 0)),
    "upsample": (
        {"padding": 1, "upsample": 2},
        3,
        Conv2d(2, 8, 6, 32, 16, 12, 3, 1, 1, upsample=2),
    ),
    "upsample and cut": (
        {"padding": 1, "upsample": 2, "cut": (1, 1)},
        3,
        Conv2d(2, 8, 6, 32, 15, 11, 3, 1, 1, upsample=2),
    ),
    "upsample and cut columns": (
        {"padding": 1, "upsample": 2, "cut": (0, 1)},
        3,
        Conv2d(2, 8, 6, 32, 16, 11, 3, 1, 1, upsample=2),
    ),
}


@pytest.mark.parametrize(
    ("attributes", "kernel", "expected"), CONVOLUTIONS.values(), ids=CONVOLUTIONS
)
def test_convolution(attributes, kernel, expected):
    weight = Parameter("w", (40, 32, kernel, kernel), "float16", channels_last=True)
    bias = ("bias", (1, 40, 1, 1))

    def body(emit, x, bias, w):
        return op.add(conv2d(emit, x, w, **attributes), bias)

    [problem] = match([IMAGE, bias], [weight], body)
    assert problem.conv == expected
    rows = 2 * expected.out_height * expected.out_width
    assert (problem.m, problem.n, problem.k) == (rows, 40, kernel * kernel * 32)
    assert problem.weights == "float16"
    assert problem.epilogue == "(value + e0[n])"


def test_convolution_names_the_image_and_not_its_padded_copy():
    [problem] = match([IMAGE], [CONV_WEIGHT], lambda *args: conv2d(*args, padding=1))
    assert problem.buffers[1:] == ("x", "w")


UNMATCHED = {
    "a stride of 3": lambda *args: conv2d(*args, padding=1, strides=3),
    "strides that differ": lambda *args: conv2d(*args, padding=1, strides=(1, 2)),
    "rows and columns padded differently": lambda *args: conv2d(*args, padding=(1, 0)),
    "the first rows and columns padded differently": lambda *args: conv2d(
        *args, padding=(0, 1, 1, 0)
    ),
    "dilation": lambda *args: conv2d(*args, padding=1, dilation=2),
    "an upsampled image without two rows": lambda *args: conv2d(
        *args, padding=1, upsample=2, cut=(2, 0)
    ),
}


@pytest.mark.parametrize("body", UNMATCHED.values(), ids=UNMATCHED)
def test_other_convolutions_keep_the_generated_kernel(body):
    assert match([IMAGE], [CONV_WEIGHT], body) == []


def test_convolution_with_a_window_that_is_not_square_keeps_the_generated_kernel():
    weight = Parameter("w", (40, 32, 3, 1), "float32", channels_last=True)
    assert match([IMAGE], [weight], conv2d) == []
    # The result has the size of a 3x3 convolution's that is padded on all sides.
    assert match([IMAGE], [weight], lambda *args: conv2d(*args, padding=(1, 0))) == []


def test_product_of_two_activations_keeps_the_generated_kernel():
    inputs = [("x", (2, 77, 192)), ("y", (2, 192, 72))]
    assert match(inputs, [], lambda _emit, x, y: op.matmul(x, y)) == []


def test_function_without_a_sum_is_no_gemm():
    assert match([X], [], lambda _emit, x: op.nn.silu(x)) == []


def test_epilogue_that_has_no_wgsl_keeps_the_generated_kernel():
    def body(emit, x, w):
        return op.cos(linear(emit, x, w))

    functions = lower([X], [LINEAR_WEIGHT], body)
    assert len(functions) == 1  # The cosine is fused with the sum.
    assert match([X], [LINEAR_WEIGHT], body) == []


def linear_in_te():
    """Return (inputs, sums) of a linear layer of 32 rows, as its legalizer names it."""
    x, w = (te.placeholder(shape, name=name) for name, shape in (("x", (32, 64)), ("w", (48, 64))))
    k = te.reduce_axis((0, 64), name="k")
    return [x, w], te.compute(
        (32, 48), lambda i, j: te.sum(x[i, k] * w[j, k], axis=k), name="linear"
    )


def test_epilogue_written_in_te():
    inputs, sums = linear_in_te()
    twice = te.compute((32, 48), lambda i, j: sums[i, j] * 2.0, name="twice")
    problem = match_gemm(te.create_prim_func([*inputs, twice]))
    assert problem.epilogue == "(value * 2.0f)"
    assert problem.buffers == ("twice", "x", "w")


def total(sums):
    j = te.reduce_axis((0, 48), name="j")
    return te.compute((32,), lambda i: te.sum(sums[i, j], axis=j), name="total")


NO_EPILOGUE = {
    "another sum": total,
    "the sum of another result": lambda sums: te.compute(
        (32, 48), lambda i, j: sums[i, j] + sums[i, 47 - j], name="mirrored"
    ),
    "a result stored transposed": lambda sums: te.compute(
        (48, 32), lambda i, j: sums[j, i], name="transposed"
    ),
}


@pytest.mark.parametrize("after", NO_EPILOGUE.values(), ids=NO_EPILOGUE)
def test_what_is_no_epilogue_keeps_the_generated_kernel(after):
    inputs, sums = linear_in_te()
    assert match_gemm(te.create_prim_func([*inputs, after(sums)])) is None


def test_linear_layer_of_every_other_row_keeps_the_generated_kernel():
    x, w = te.placeholder((64, 64), name="x"), te.placeholder((48, 64), name="w")
    k = te.reduce_axis((0, 64), name="k")
    sums = te.compute((32, 48), lambda i, j: te.sum(x[2 * i, k] * w[j, k], axis=k), name="linear")
    assert match_gemm(te.create_prim_func([x, w, sums])) is None
