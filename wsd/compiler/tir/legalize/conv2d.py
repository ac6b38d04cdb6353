"""Legalize ``conv2d`` with channels last in image and weight, also after a 2x upsampling.

The image is (n, h, w, c) and the weight (o, kh, kw, c) as it is stored
(:mod:`wsd.spec.parameter`), so that the sum runs along the last axis of both. After a 2x
nearest-neighbour ``resize2d`` the kernel reads the small image and halves the coordinates: the
large image is never written to memory. The same holds where the large image's last row or column
is cut off, as in a UNet whose latents do not halve evenly.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax, te

from wsd.compiler.tir.dequantize import packed_operand, scaled
from wsd.compiler.tvm_compat import (
    cropped,
    gemm_attributes,
    operator_name,
    permuted,
    shape_of,
    tir,
)

_default_conv2d = tvm.ir.Op.get("relax.nn.conv2d").get_attr("FLegalize")
_default_slice = tvm.ir.Op.get("relax.strided_slice").get_attr("FLegalize")
# Axes of the transpose from the stored weight (o, kh, kw, c) to PyTorch's (o, c, kh, kw).
_STORED = [0, 3, 1, 2]


def legalize_conv2d(builder: Any, call: Any) -> Any:
    """Lower ``conv2d`` of an image with channels last; any other takes TVM's lowering.

    Shapes: x (n, h, w, c), weight (o, kh, kw, c) behind a transpose, result
    (n, h', w', o), float32.
    """
    image, weight = call.args
    attrs = call.attrs
    found = permuted(_binding(builder, weight))
    if found is None or found[1] != _STORED or not _is_plain(attrs):
        return _default_conv2d(builder, call)
    operand = packed_operand(builder, found[0])
    convolved = shape_of(image)[1:3]
    image, times = _before_doubling(builder, image)
    # Rows and columns that are cut off the end of the upsampled image.
    cut = [times * n - kept for n, kept in zip(shape_of(image)[1:3], convolved, strict=True)]
    strides = [int(value) for value in attrs.strides]
    top, left, bottom, right = (int(value) for value in attrs.padding)

    def conv2d(x: te.Tensor, *stored: te.Tensor) -> te.Tensor:
        values = operand.values(*stored)
        batch, height, width, channels = x.shape
        height, width = height * times - cut[0], width * times - cut[1]
        outputs, rows, columns, _ = values.shape
        padded = x
        if top or left or bottom or right or times > 1:
            inside = (height + top + bottom, width + left + right)

            def value(n: Any, y: Any, z: Any, c: Any) -> Any:
                within = tir.all(y >= top, y < height + top, z >= left, z < width + left)
                pixel = x[n, (y - top) // times, (z - left) // times, c]
                return tir.if_then_else(within, pixel, 0.0)

            padded = te.compute((batch, *inside, channels), value, name="pad_temp")
        over = [te.reduce_axis((0, n), name=a) for n, a in ((rows, "ky"), (columns, "kx"))]
        c = te.reduce_axis((0, channels), name="c")
        extents = [
            (padded.shape[1] - rows) // strides[0] + 1,
            (padded.shape[2] - columns) // strides[1] + 1,
        ]
        product = te.compute(
            (batch, *extents, outputs),
            lambda n, y, z, o: te.sum(
                padded[n, y * strides[0] + over[0], z * strides[1] + over[1], c]
                * values[o, over[0], over[1], c],
                axis=[*over, c],
            ),
            name="conv2d",
        )
        return scaled(operand, product, stored, channel=-1)

    return builder.call_te(
        conv2d, image, *operand.arguments, primfunc_name_hint="conv2d",
        primfunc_attrs=gemm_attributes(),
    )  # fmt: skip


def keep_crop(builder: Any, call: Any) -> Any:
    """Keep a slice of an upsampled image, which :func:`legalize_conv2d` looks through.

    TVM lowers any other ``strided_slice``.
    """
    _, times = _before_doubling(builder, call)
    return call if times > 1 else _default_slice(builder, call)


def _is_plain(attrs: Any) -> bool:
    """Tell whether a convolution is of images with channels last, undilated, in one group."""
    dilated = any(int(value) != 1 for value in attrs.dilation)
    return str(attrs.data_layout) == "NHWC" and int(attrs.groups) == 1 and not dilated


def _before_doubling(builder: Any, image: Any) -> tuple[Any, int]:
    """Return (image before a 2x nearest-neighbour upsampling, 2), else (the image itself, 1).

    Rows and columns may have been cut off the end of the upsampled image.
    """
    call = _binding(builder, image)
    while (whole := cropped(call)) is not None:
        call = _binding(builder, whole)
    if operator_name(call) != "relax.image.resize2d":
        return image, 1
    small, large = shape_of(call.args[0]), shape_of(call)
    attrs = call.attrs
    nearest = str(attrs.method) == "nearest_neighbor" and str(attrs.layout) == "NHWC"
    if not nearest or large[1:3] != [2 * extent for extent in small[1:3]]:
        return image, 1
    if [shape_of(image)[axis] for axis in (0, 3)] != [small[axis] for axis in (0, 3)]:
        return image, 1  # images or channels were cut off too
    # With either rule, a doubled image takes pixel y from pixel y // 2.
    how = (str(attrs.coordinate_transformation_mode), str(attrs.rounding_method))
    if how not in (("half_pixel", "round"), ("asymmetric", "floor")):
        return image, 1
    return call.args[0], 2


def _binding(builder: Any, expression: Any) -> Any:
    return builder.lookup_binding(expression) if isinstance(expression, relax.Var) else expression
