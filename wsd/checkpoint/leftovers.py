"""What a checkpoint's files hold besides what is read: known to be harmless, or refused by name.

A tensor that is dropped in silence may be half of a model: a guidance embedding, a LoRA, the scales
of a quantisation. So what may be left over is listed by the architecture, each with its reason
(:class:`wsd.models.config_rules.ConfigRules`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

from wsd.checkpoint.stored_tensor import StoredTensor
from wsd.errors import CheckpointError
from wsd.models.config_rules import KnownTensor, find_config_rules
from wsd.models.family import Component, Family

_LOG = logging.getLogger(__name__)

# Tensors without numbers that say how a single file is denoised, as ComfyUI and A1111 read them.
MARKERS = ("v_pred", "ztsnr")

# Tensors of what is added to a checkpoint, of whatever architecture it is.
_ADDITIONS = (
    KnownTensor(
        r"(.*[._])?(lora|hada|lokr|oft)([._].*)?",
        "it is of a LoRA: pass its file with --lora, and a checkpoint with --weights",
    ),
    KnownTensor(
        r".*control(_model|net).*|.*zero_convs.*", "it is of a ControlNet, which WSD does not draw"
    ),
    KnownTensor(
        r".*\.(SCB|absmax|quant_map|quant_state.*|nested_.+|weight_format|qweight|qzeros|g_idx"
        r"|weight_scale(_2|_inv)?|scale_weight|comfy_quant|pre_quant_scale)",
        "it is of a quantised checkpoint: take it in float16 or float32",
    ),
)


def check_leftovers(leftovers: Iterable[StoredTensor], family: Family, reader: str) -> None:
    """Refuse the first tensor that nobody reads and that is not known to be harmless.

    Args:
        leftovers: tensors that no component reads.
        family: whose architecture says which tensors are harmless.
        reader: what should have read them, for the message.

    Raises:
        CheckpointError: naming the tensor, and how many more there are.
    """
    rules = find_config_rules(family.architecture)
    unknown = [tensor for tensor in leftovers if _find(tensor.key, rules.ignorable) is None]
    if not unknown:
        return
    first = unknown[0]
    more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
    raise CheckpointError(
        f"{first.path}: tensor {first.key}{more} is not read by {reader}",
        _find(first.key, (*_ADDITIONS, *rules.refused))
        or "without it, the picture would not be this checkpoint's: take another version of the "
        "checkpoint, or remove the tensor from the file if it means nothing",
    )


def drop_unused_layers(
    leftovers: Iterable[StoredTensor], family: Family, component: Component
) -> list[StoredTensor]:
    """Return the tensors that are not of layers beyond those that a configuration asks for.

    What is left out is said, once for a component.

    Args:
        leftovers: tensors that the component does not read.
        family: whose architecture says how layers are named.
        component: with the checkpoint's own configuration.
    """
    kept = list(leftovers)
    pattern, key = find_config_rules(family.architecture).layers.get(component.class_name, ("", ""))
    if not key:
        return kept
    count = component.config[key]
    unused = [
        tensor
        for tensor in kept
        if (found := re.fullmatch(pattern, tensor.key)) and int(found[1]) >= count
    ]
    if unused:
        _LOG.warning(
            "%s: %s is %s, so %d tensors of later layers are not read",
            component.folder, key, count, len(unused),
        )  # fmt: skip
    dropped = {tensor.key for tensor in unused}
    return [tensor for tensor in kept if tensor.key not in dropped]


def explain_other_file(names: Iterable[str], family: Family) -> str | None:
    """Return what a single file is of that holds no component of a checkpoint; None if unknown.

    Args:
        names: of the file's tensors.
        family: for whose checkpoint it was taken.
    """
    rules = find_config_rules(family.architecture)
    known = (*_ADDITIONS, *rules.refused, *rules.alone)
    return next((text for name in names if (text := _find(name, known))), None)


def _find(name: str, known: Iterable[KnownTensor]) -> str | None:
    """Return what is known of a tensor's name; None if nothing is."""
    return next((entry.text for entry in known if re.fullmatch(entry.pattern, name)), None)
