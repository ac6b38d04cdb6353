"""ICC profiles for tests, made of their parts: what cameras and programs embed in pictures."""

import struct

import numpy as np

# Chromaticities of red, green and blue, and of the white of all three spaces (D65).
SRGB_PRIMARIES = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_PRIMARIES = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
P3_PRIMARIES = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
_WHITE = (0.3127, 0.3290)
# The white of all profiles (D50), XYZ.
_PROFILE_WHITE = (0.9642, 1.0, 0.8249)
ADOBE_GAMMA = 563 / 256
# Bradford's matrix, which ICC.1 recommends for adapting one white to another (annex E).
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def _xyz(values):
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *[round(value * 65536) for value in values])


def _gamma(exponent):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))


def _srgb_curve():
    """Return sRGB's curve as a parametric one: a power, and a line near black."""
    values = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    return b"para\0\0\0\0" + struct.pack(">HH5i", 3, 0, *[round(v * 65536) for v in values])


def _profile(space, tags):
    """Return a profile of version 2.4 for a display: 128 bytes of header, a table, the tags."""
    named = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _xyz(_PROFILE_WHITE),
        **tags,
    }
    table, data = struct.pack(">I", len(named)), b""
    start = 128 + 4 + 12 * len(named)
    for name, tag in named.items():
        table += name + struct.pack(">II", start + len(data), len(tag))
        data += tag + bytes(-len(tag) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", start + len(data), b"wsd ", 0x02400000, b"mntr", space, b"XYZ ",
        bytes(12), b"acsp",
    )  # fmt: skip
    light = struct.pack(">3i", *[round(value * 65536) for value in _PROFILE_WHITE])
    return header.ljust(68, b"\0") + light + bytes(128 - 68 - 12) + table + data


def primaries_to_xyz(primaries):
    """Return the matrix from linear red, green and blue to XYZ, adapted to the profiles' white."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    white = np.array([_WHITE[0] / _WHITE[1], 1, (1 - sum(_WHITE)) / _WHITE[1]])
    scale = (_BRADFORD @ _PROFILE_WHITE) / (_BRADFORD @ white)
    adapt = np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD
    return adapt @ (columns * np.linalg.solve(columns, white))


def _rgb(primaries, curve):
    columns = primaries_to_xyz(primaries).T
    tags = {}
    for name, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags |= {name + b"XYZ": _xyz(column), name + b"TRC": curve}
    return _profile(b"RGB ", tags)


ADOBE_RGB = _rgb(ADOBE_PRIMARIES, _gamma(ADOBE_GAMMA))
DISPLAY_P3 = _rgb(P3_PRIMARIES, _srgb_curve())
LINEAR = _rgb(SRGB_PRIMARIES, _gamma(1))
# Of sRGB itself, and not to the byte that of any program.
NEARLY_SRGB = _rgb(SRGB_PRIMARIES, _srgb_curve())
LINEAR_GREY = _profile(b"GRAY", {b"kTRC": _gamma(1)})
# What no program can follow.
BROKEN = ADOBE_RGB[:200]
