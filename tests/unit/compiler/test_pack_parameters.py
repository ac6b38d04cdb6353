"""pack_parameters: the arguments that a function takes afterwards, and the values it computes."""

import numpy as np
import pytest
import tvm
from tvm.relax import op

from relax_functions import operators, relax_function
from tvm_cpu import run_on_cpu
from wsd.bundle.quantize import pack_int4
from wsd.compiler.passes.pack_parameters import Signature, pack_parameters
from wsd.compiler.tvm_compat import shape_of
from wsd.spec.parameter import GROUP, Parameter

SHAPE = (6, 5)


def model(emit, x, w, b):
    return emit(op.add(emit(op.multiply(x, w)), b))


def packed(*parameters, inputs=("x",), shape=SHAPE):
    names = (*inputs, *(parameter.name for parameter in parameters))
    module = relax_function(dict.fromkeys(names, shape), model)
    return module, pack_parameters(module, {"main": Signature(len(inputs), parameters)})


def arguments(module):
    """Return name → shape of the arguments; v0.21 calls a variable's name otherwise."""
    return {
        str(getattr(v, "name_hint", None) or v.name): tuple(shape_of(v))
        for v in module["main"].params
    }


def test_float32_is_left_alone():
    module, found = packed(Parameter("w", SHAPE), Parameter("b", SHAPE))
    tvm.ir.assert_structural_equal(found, module)


@pytest.mark.slow
def test_float16_is_two_values_a_word():
    _, found = packed(Parameter("w", SHAPE, "float16"), Parameter("b", SHAPE))
    assert arguments(found) == {"x": SHAPE, "w": (15,), "b": SHAPE}
    assert operators(found) == ["unpack_float16", "relax.multiply", "relax.add"]
    x, w, b = (np.random.default_rng(n).standard_normal(SHAPE).astype("float32") for n in range(3))
    [result] = run_on_cpu(found, [x, w.astype("float16").ravel().view("uint32"), b])
    np.testing.assert_allclose(result, x * w.astype("float16") + b, rtol=1e-6)


@pytest.mark.slow
def test_int8_is_four_values_a_word_and_a_scale_a_row():
    _, found = packed(Parameter("w", SHAPE, "int8"), Parameter("b", SHAPE))
    assert arguments(found) == {"x": SHAPE, "w": (8,), "w.scale": (6,), "b": SHAPE}
    rng = np.random.default_rng(0)
    values = rng.integers(-127, 128, SHAPE, dtype="int8")
    words = np.frombuffer(values.tobytes() + b"\0\0", "uint32")
    scales, x, b = (rng.random(shape, "float32") for shape in ((6,), SHAPE, SHAPE))
    [result] = run_on_cpu(found, [x, words, scales, b])
    np.testing.assert_allclose(result, x * (values * scales[:, None]) + b, rtol=1e-5)


@pytest.mark.slow
def test_int4_is_eight_values_a_word_and_a_scale_a_group():
    shape = (3, 2 * GROUP)
    _, found = packed(Parameter("w", shape, "int4"), Parameter("b", shape), shape=shape)
    assert arguments(found) == {"x": shape, "w": (24,), "w.scale": (3,), "b": shape}
    assert operators(found) == ["unpack_int4", "relax.multiply", "relax.add"]
    rng = np.random.default_rng(0)
    values = rng.integers(-8, 8, shape, dtype="int8")
    # The last two are subnormal.
    scales = np.array([[0.5, -2], [0, 65504 / 8], [2**-20, -(2**-24)]], "float16")
    x, b = (rng.random(shape, "float32") for _ in range(2))
    words = pack_int4(values).view("uint32")
    [result] = run_on_cpu(found, [x, words, scales.reshape(-1).view("uint32"), b])
    w = values * np.repeat(scales.astype("float32"), GROUP, axis=1)
    np.testing.assert_allclose(result, x * w + b, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_a_convolutions_weight_is_stored_with_its_channels_last(storage):
    shape = (4, 2, 3, 3)
    _, found = packed(
        Parameter("w", shape, storage, channels_last=True), Parameter("b", shape), shape=shape
    )
    words = (36,) if storage == "float16" else (4, 3, 3, 2)
    assert arguments(found)["w"] == words
    assert "relax.permute_dims" in operators(found)
    rng = np.random.default_rng(0)
    x, w, b = (rng.random(shape, "float32") for _ in range(3))
    w = w.astype("float16").astype("float32")
    stored = np.ascontiguousarray(w.transpose(0, 2, 3, 1))
    if storage == "float16":
        stored = stored.astype("float16").reshape(-1).view("uint32")
    [result] = run_on_cpu(found, [x, stored, b])
    np.testing.assert_allclose(result, x * w + b, rtol=1e-6)


def test_a_parameter_that_is_read_twice_is_unpacked_once():
    def twice(emit, x, w):
        return emit(op.add(emit(op.multiply(x, w)), w))

    module = relax_function({"x": SHAPE, "w": SHAPE}, twice)
    parameter = Parameter("w", SHAPE, "float16")
    found = pack_parameters(module, {"main": Signature(1, (parameter,))})
    assert operators(found).count("unpack_float16") == 1


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_a_function_takes_what_it_does_not_read_of_its_component(storage):
    """All functions of a component take its parameters as one tuple."""
    read = Parameter("w", SHAPE, storage), Parameter("b", SHAPE)
    unread = Parameter("a", SHAPE, "int8"), Parameter("c", (3,))
    module = relax_function(dict.fromkeys(("x", "w", "b"), SHAPE), model)
    component = (unread[0], read[0], unread[1], read[1])
    found = pack_parameters(module, {"main": Signature(1, read, component)})
    alone = pack_parameters(module, {"main": Signature(1, read)})
    words = {"w": (8,), "w.scale": (6,)} if storage == "int8" else {"w": SHAPE}
    taken = {"x": SHAPE, "a": (8,), "a.scale": (6,), **words, "c": (3,), "b": SHAPE}
    assert list(arguments(found).items()) == list(taken.items())
    assert operators(found) == operators(alone)


def test_parameters_must_be_the_functions_arguments():
    module = relax_function(dict.fromkeys(("x", "w", "b"), SHAPE), model)
    with pytest.raises(ValueError, match="zip"):
        pack_parameters(module, {"main": Signature(1, (Parameter("w", SHAPE),))})
