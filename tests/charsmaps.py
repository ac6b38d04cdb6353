"""Make tables of characters as SentencePiece compiles them, for tests of tokenizers."""

import struct
from collections.abc import Mapping
from typing import Any


def compile_charsmap(replacements: Mapping[str, str]) -> bytes:
    """Return the bytes of a "Precompiled" normalizer.

    A double array (darts-clone): the child of a node by a byte lies at the node's base XOR the
    byte, and no two nodes have one base.

    Args:
        replacements: text → what takes its place.
    """
    texts = bytearray()
    starts: dict[str, int] = {}
    for value in replacements.values():
        if value not in starts:
            starts[value] = len(texts)
            texts += value.encode() + b"\0"
    root: dict[int, Any] = {}
    for key, value in replacements.items():
        node = root
        for byte in key.encode():
            node = node.setdefault(byte, {})
        node[0] = starts[value]
    units = {0: 0}
    bases: set[int] = set()
    waiting, lowest = [(root, 0)], 1
    while waiting:
        node, at = waiting.pop()
        base = lowest
        while base in bases or any(base ^ byte in units for byte in node):
            base += 1
        if len(bases) % 64 == 0:
            while lowest in units or lowest in bases:
                lowest += 1
        bases.add(base)
        offset = at ^ base
        assert offset < 1 << 21
        units[at] |= offset << 10 | (0 in node) << 8
        for byte, child in node.items():
            units[base ^ byte] = child | 1 << 31 if byte == 0 else byte
            if byte:
                waiting.append((child, base ^ byte))
    count = max(units) + 1
    # A look-up may leave the array by a byte.
    array = [units.get(at, 0) for at in range(count + 256)]
    packed = struct.pack(f"<{len(array)}I", *array)
    return struct.pack("<I", len(packed)) + packed + bytes(texts)
