"""One layer of an adapter: its tensors, checked against the weight, and what they add to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch

from wsd.checkpoint.adapters.arithmetic import (
    Change,
    Delta,
    Full,
    Hadamard,
    Kronecker,
    LowRank,
    Magnitudes,
    Pieces,
    contract,
    multiply,
    round_factor,
)
from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.checkpoint.weight_source import Shape
from wsd.errors import CheckpointError
from wsd.models.architecture import ModuleRows

_LOHA = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
_DAMAGED = "the adapter is damaged or of another model: fetch it again, or take another one"
_INCOMPLETE = "the adapter is incomplete: fetch it again, or ask who made it"

Parts = Mapping[str, StoredTensor]


@dataclass(frozen=True)
class Scaling:
    """What an adapter's metadata says of a layer's scale, where the layer has no ``alpha``.

    Attributes:
        alpha: None if it says nothing: the rank, so that the scale is 1.
        by_root: whether alpha is divided by the root of the rank (rsLoRA, Kalajdzievski 2023).
    """

    alpha: float | None = None
    by_root: bool = False


@dataclass(frozen=True)
class Layer:
    """What an adapter does to one parameter.

    Attributes:
        name: of the layer in the file, for messages.
        build: reads the tensors and returns the change for a scale.
    """

    name: str
    build: Callable[[float], Change]


def read_layer(
    name: str, parts: Parts, shape: Shape, scaling: Scaling, rows: ModuleRows | None = None
) -> Layer:
    """Return what an adapter's layer does to a weight; its shapes are checked, and nothing is read.

    Args:
        name: of the layer in the file.
        parts: what of the layer → tensor, without ``diff_b``.
        shape: of the weight; of the file's, where the model's is some of its rows.
        scaling: what the metadata says.
        rows: which of the rows are the model's; all of them unless given.

    Raises:
        CheckpointError: if parts are missing, contradict each other, or do not fit the weight.
    """
    kinds = {
        "down": _read_low_rank,
        "up": _read_low_rank,
        "mid": _read_low_rank,
        "hada": _read_loha,
        "lokr": _read_lokr,
        "diff": _read_full,
    }
    found = {kinds[kind] for part in parts if (kind := part.partition("_")[0]) in kinds}
    if len(found) != 1:
        have = ", ".join(sorted(parts))
        what = "no matrices" if not found else "matrices of two kinds"
        raise _refuse(parts, f"layer {name} has {what}: it has {have}", _INCOMPLETE)
    (read,) = found
    if len(shape) < 2 and read is not _read_full:
        raise _refuse(
            parts,
            f"layer {name} changes a matrix, and the model's has shape {list(shape)}",
            _DAMAGED,
        )
    delta, rank, columns = read(name, parts, shape)
    _check_columns(name, parts, columns, shape)
    magnitudes = _find_magnitudes(name, parts, shape)
    alpha, divisor = _find_scale(name, parts, rank, scaling)
    layer = Layer(name, partial(_build, name, delta, magnitudes, alpha, divisor))
    if rows is None or rows.pieces == 1:
        return layer
    if len(rows.order) < rows.pieces and _is_by_input(parts, shape):
        raise _refuse(
            parts,
            f"layer {name} has a length for each input of {rows.pieces} layers of the model "
            "together, which cannot be told apart",
            "take an adapter that has a length for each output, or none",
        )
    return Layer(name, partial(_build_rows, layer, shape[0] // rows.pieces, rows.order))


def read_bias(
    name: str, tensor: StoredTensor, shape: Shape, rows: ModuleRows | None = None
) -> Layer:
    """Return what an adapter's layer does to a bias.

    Args:
        name: of the layer in the file.
        tensor: what is added, of the bias's shape.
        shape: of the bias; of the file's, where the model's is some of its values.
        rows: which of the values are the model's; all of them unless given.

    Raises:
        CheckpointError: if the shapes differ.
    """
    delta, _, columns = _read_full(name, {"diff": tensor}, shape)
    _check_columns(name, {"diff_b": tensor}, columns, shape)
    layer = Layer(name, partial(_build, name, delta, None, 1.0, 1.0))
    if rows is None or rows.pieces == 1:
        return layer
    return Layer(name, partial(_build_rows, layer, shape[0] // rows.pieces, rows.order))


def _build_rows(whole: Layer, count: int, order: tuple[int, ...], scale: float) -> Change:
    """Return the change of some rows of a file's layer: pieces of so many rows, in this order."""
    change = whole.build(scale)
    lengths = change.magnitudes
    if lengths is not None and lengths.values.shape[0] > 1:
        taken = [lengths.values[piece * count : (piece + 1) * count] for piece in order]
        lengths = replace(lengths, values=torch.cat(taken))
    return replace(change, delta=Pieces(change.delta, count, order), magnitudes=lengths)


def _build(
    name: str,
    delta: Callable[[], Delta],
    magnitudes: Callable[[float], Magnitudes] | None,
    alpha: float,
    divisor: float,
    scale: float,
) -> Change:
    found = None if magnitudes is None else magnitudes(scale)
    # In LyCORIS' form of DoRA a scale is the share of the whole change.
    is_share = found is not None and found.multiplier is not None
    factor = round_factor(1.0 if is_share else scale, alpha, divisor)
    rest = round_factor(scale - 1.0 if is_share else 0.0, alpha, divisor)
    if not math.isfinite(factor) or not math.isfinite(rest):
        raise CheckpointError(
            f"layer {name} of an adapter has the scale {scale:g} · {alpha:g} / {divisor:g}, which "
            "is beyond float32",
            "take a smaller scale, or another adapter",
        )
    return Change(delta(), factor, found, rest)


_Read = tuple[Callable[[], Delta], int | None, tuple[int, int]]


def _read_low_rank(name: str, parts: Parts, shape: Shape) -> _Read:
    """Return the product of LoRA and LoCon, its rank, and its shape as a matrix."""
    _require(name, parts, ("down", "up"), {"mid", "alpha", "dora_scale", "magnitude_vector"})
    down, up, mid = parts["down"], parts["up"], parts.get("mid")
    rank, columns = _matrix(name, down) if mid is not None else _kernels(name, down, shape)
    out, inner = _matrix(name, up)
    if inner != rank:
        raise _refuse(
            parts,
            f"layer {name}: {up.key} has rank {inner}, and {down.key} has rank {rank}",
            _DAMAGED,
        )
    if mid is None:
        return lambda: LowRank(_read(up), _read(down)), rank, (out, columns)
    _check_core(name, mid, rank, shape)

    def delta() -> Delta:
        return LowRank(_read(up), contract(_read_whole(mid), _read(down)))

    return delta, rank, (out, columns * math.prod(shape[2:]))


def _read_loha(name: str, parts: Parts, shape: Shape) -> _Read:
    """Return LoHa's product, its rank, and its shape as a matrix."""
    _require(name, parts, _LOHA, {"hada_t1", "hada_t2", "alpha", "dora_scale"})
    sides = [_read_side(name, parts, side, shape) for side in ("1", "2")]
    if sides[0][2] != sides[1][2]:
        raise _refuse(
            parts, f"layer {name}: hada_w1 makes {sides[0][2]}, and hada_w2 {sides[1][2]}", _DAMAGED
        )
    (first, rank, size), (second, _, _) = sides
    return lambda: Hadamard(first(), second()), rank, size


def _read_side(
    name: str, parts: Parts, side: str, shape: Shape
) -> tuple[Callable[[], LowRank], int, tuple[int, int]]:
    """Return one of LoHa's two products, its rank, and its shape."""
    left, right = parts[f"hada_w{side}_a"], parts[f"hada_w{side}_b"]
    core = parts.get(f"hada_t{side}")
    other = f"hada_t{'2' if side == '1' else '1'}"
    if core is None:
        if other in parts:
            raise _refuse(parts, f"layer {name} has {other} without hada_t{side}", _INCOMPLETE)
        rank, columns = _kernels(name, right, shape)
        out, inner = _matrix(name, left)
        _check_rank(name, parts, left, inner, rank)
        return lambda: LowRank(_read(left), _read(right)), rank, (out, columns)
    rank, columns = _matrix(name, right)
    inner, out = _matrix(name, left)
    _check_rank(name, parts, left, inner, rank)
    _check_core(name, core, rank, shape)
    size = (out, columns * math.prod(shape[2:]))
    return lambda: LowRank(_read(left).T, contract(_read_whole(core), _read(right))), rank, size


def _read_lokr(name: str, parts: Parts, shape: Shape) -> _Read:
    """Return LoKr's product, its rank (None if both factors are whole), and its shape."""
    known = {f"lokr_{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")}
    _require(name, parts, (), known | {"alpha", "dora_scale"})
    if "lokr_t2" in parts and len(shape) == 2:
        raise _refuse(
            parts, f"layer {name} has lokr_t2, which convolutions alone have a use for", _DAMAGED
        )
    # The second factor alone has a convolution's kernel.
    first, first_rank, (a, b) = _read_factor(name, parts, "1", shape[:2])
    second, second_rank, (c, d) = _read_factor(name, parts, "2", shape)
    rank = first_rank if second_rank is None else second_rank
    return lambda: Kronecker(first(), second()), rank, (a * c, b * d)


def _read_factor(
    name: str, parts: Parts, number: str, shape: Shape
) -> tuple[Callable[[], torch.Tensor], int | None, tuple[int, int]]:
    """Return one of LoKr's two factors, its rank if it is a product, and its shape."""
    whole = parts.get(f"lokr_w{number}")
    left, right = parts.get(f"lokr_w{number}_a"), parts.get(f"lokr_w{number}_b")
    core = parts.get(f"lokr_t{number}")
    if whole is not None and left is None and right is None and core is None:
        return partial(_read, whole), None, _kernels(name, whole, shape)
    if whole is not None or left is None or right is None:
        have = ", ".join(sorted(part for part in parts if part.startswith("lokr_")))
        raise _refuse(
            parts,
            f"layer {name} needs lokr_w{number}, or lokr_w{number}_a and lokr_w{number}_b: "
            f"it has {have}",
            _INCOMPLETE,
        )
    if core is None:
        rank, columns = _kernels(name, right, shape)
        out, inner = _matrix(name, left)
        _check_rank(name, parts, left, inner, rank)
        return lambda: multiply(_read(left), _read(right)), rank, (out, columns)
    rank, columns = _matrix(name, right)
    inner, out = _matrix(name, left)
    _check_rank(name, parts, left, inner, rank)
    _check_core(name, core, rank, shape)
    size = (out, columns * math.prod(shape[2:]))

    def factor() -> torch.Tensor:
        return multiply(_read(left).T, contract(_read_whole(core), _read(right)))

    return factor, rank, size


def _read_full(name: str, parts: Parts, shape: Shape) -> _Read:
    """Return the difference itself, which has no rank, and its shape as a matrix."""
    # LyCORIS writes an alpha beside it, which it does not read.
    _require(name, parts, ("diff",), {"alpha"})
    tensor = parts["diff"]
    if _without_ones(tensor.shape) != _without_ones(shape):
        raise _refuse(parts, f"layer {name} changes a tensor of shape {list(tensor.shape)}, "
                             f"and the parameter has {list(shape)}", _DAMAGED)  # fmt: skip
    rows = shape[0]
    return (
        lambda: Full(_read_whole(tensor).reshape(rows, -1)),
        None,
        (
            rows,
            math.prod(shape) // rows,
        ),
    )


def _find_magnitudes(name: str, parts: Parts, shape: Shape) -> Callable[[float], Magnitudes] | None:
    """Return DoRA's lengths for a scale; None if the layer has none."""
    if "dora_scale" in parts and "magnitude_vector" in parts:
        raise _refuse(parts, f"layer {name} has lengths of two kinds", _DAMAGED)
    tensor = parts.get("dora_scale", parts.get("magnitude_vector"))
    if tensor is None:
        return None
    count = math.prod(tensor.shape)
    by_input = _is_by_input(parts, shape)
    if not by_input and count != shape[0]:
        raise _refuse(
            parts,
            f"layer {name}: {tensor.key} has shape {list(tensor.shape)}, for a weight of shape "
            f"{list(shape)}",
            _DAMAGED,
        )
    size = (1, count) if by_input else (count, 1)
    scaled = "dora_scale" in parts
    return lambda scale: Magnitudes(_read_whole(tensor).reshape(size), scale if scaled else None)


def _is_by_input(parts: Parts, shape: Shape) -> bool:
    """Tell whether a layer has DoRA's lengths for each input channel, as LyCORIS can have them."""
    tensor = parts.get("dora_scale")
    return (
        tensor is not None
        and min(len(tensor.shape), len(shape)) > 1
        and tensor.shape[0] == 1
        and math.prod(tensor.shape) == shape[1]
        and shape[0] != 1
    )


def _find_scale(name: str, parts: Parts, rank: int | None, scaling: Scaling) -> tuple[float, float]:
    """Return alpha and what it is divided by."""
    if rank is None:
        return 1.0, 1.0
    if "alpha" in parts:
        # An alpha of the file's own is divided by the rank, also in LyCORIS' rank-stabilised files:
        # their alpha is written so that this gives their scale.
        tensor = parts["alpha"]
        if math.prod(tensor.shape) != 1:
            raise _refuse(
                parts,
                f"layer {name}: {tensor.key} has shape {list(tensor.shape)}, expected one number",
                _DAMAGED,
            )
        return float(tensor.read().reshape(()).to(torch.float64)), float(rank)
    divisor = math.sqrt(rank) if scaling.by_root else float(rank)
    return float(rank) if scaling.alpha is None else scaling.alpha, divisor


def _check_columns(name: str, parts: Parts, found: tuple[int, int], shape: Shape) -> None:
    """Refuse a delta that has another shape than the weight, both as matrices."""
    expected = (shape[0], math.prod(shape[1:]))
    if found != expected:
        raise _refuse(
            parts,
            f"layer {name} changes a weight of {found[0]} x {found[1]} values, and the model's has "
            f"shape {list(shape)}",
            _DAMAGED,
        )


def _check_rank(name: str, parts: Parts, left: StoredTensor, inner: int, rank: int) -> None:
    if inner != rank:
        raise _refuse(
            parts,
            f"layer {name}: {left.key} has rank {inner}, and its other half has rank {rank}",
            _DAMAGED,
        )


def _without_ones(shape: Shape) -> Shape:
    """Return a shape without axes of length 1 at its end: those of a convolution of 1x1."""
    end = len(shape)
    while end and shape[end - 1] == 1:
        end -= 1
    return tuple(shape[:end])


def _check_core(name: str, core: StoredTensor, rank: int, shape: Shape) -> None:
    """Refuse the core of a Tucker decomposition of another rank or kernel than the layer's."""
    expected = (rank, rank, *shape[2:])
    if len(core.shape) < 2 or _without_ones(core.shape) != _without_ones(expected):
        raise _refuse(
            {"core": core},
            f"layer {name}: {core.key} has shape {list(core.shape)}, expected {list(expected)}",
            _DAMAGED,
        )


def _require(name: str, parts: Parts, needed: tuple[str, ...], optional: set[str]) -> None:
    """Refuse a layer that lacks a part, or has one that does not belong to its kind."""
    missing = [part for part in needed if part not in parts]
    if missing:
        have = ", ".join(sorted(parts))
        raise _refuse(parts, f"layer {name} has no {missing[0]}: it has {have}", _INCOMPLETE)
    strange = [part for part in parts if part not in needed and part not in optional]
    if strange:
        raise _refuse(
            parts, f"layer {name} has {parts[strange[0]].key} beside its other matrices", _DAMAGED
        )


def _matrix(name: str, tensor: StoredTensor) -> tuple[int, int]:
    """Return a matrix's shape; axes of length 1 may follow, as convolutions of 1x1 have them."""
    if len(tensor.shape) < 2 or 0 in tensor.shape or math.prod(tensor.shape[2:]) != 1:
        raise _refuse(
            {"": tensor},
            f"layer {name}: {tensor.key} has shape {list(tensor.shape)}, expected a matrix",
            _DAMAGED,
        )
    return tensor.shape[0], tensor.shape[1]


def _kernels(name: str, tensor: StoredTensor, shape: Shape) -> tuple[int, int]:
    """Return the shape, as a matrix, of a factor that has the kernel of a convolution.

    The kernel has axes of its own, or is one axis together with the input channels.

    Args:
        name: of the layer, for messages.
        tensor: (rows, inputs, height, width) or (rows, inputs · height · width); (rows, inputs) of
            a linear layer.
        shape: of the weight, whose kernel it must be.
    """
    own, kernel = tensor.shape[1:], shape[2:]
    if not own or 0 in tensor.shape:
        raise _refuse(
            {"": tensor},
            f"layer {name}: {tensor.key} has shape {list(tensor.shape)}, expected a matrix",
            _DAMAGED,
        )
    columns = math.prod(own)
    inputs, left_over = divmod(columns, math.prod(kernel))
    is_split = _without_ones(own) == _without_ones((inputs, *kernel))
    if left_over or not (is_split or len(own) == 1):
        raise _refuse(
            {"": tensor},
            f"layer {name}: {tensor.key} has shape {list(tensor.shape)}, for a weight of shape "
            f"{list(shape)}",
            _DAMAGED,
        )
    return tensor.shape[0], columns


def _read(tensor: StoredTensor) -> torch.Tensor:
    """Return a tensor as a matrix, float32."""
    return _read_whole(tensor).flatten(1)


def _read_whole(tensor: StoredTensor) -> torch.Tensor:
    return tensor.read().to(torch.float32)


def _refuse(parts: Parts, message: str, hint: str) -> CheckpointError:
    path = next(iter(parts.values())).path
    return CheckpointError(f"{path}: {message}", hint)
