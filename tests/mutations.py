"""Damaged inputs for fuzzing: good files whose bytes, or whose JSON values, are changed at random.

Half of the inputs are changed as bytes, half as JSON values, so that they also reach what lies
behind the parser. Every input follows from the seed of a generator alone.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from timing import RERUNS

# Seconds of the processor, and bytes of memory, that one input may take.
MOST_SECONDS = 1.0
# The same for one large input: a busy machine doubles the seconds of a processor that others share,
# and reading in quadratic time takes more than ten.
MOST_SECONDS_OF_LARGE = 5.0
MOST_BYTES = 100 << 20
# Bytes of an input: more than any reader but those of shaders takes.
LARGEST_INPUT = 10 << 20
# One input in so many is made large: a place in it is repeated.
_LARGE = 100
# Copies of a place, with which an object gets as many keys.
_MOST_COPIES = 300_000

_TEXTS = (
    "", "a", "..", "../", "/etc/passwd", "C:\\x", "a/b", "con", "\x1b[31m", "\n", "\0", "\u202e",
    "é", "x" * 300, "x" * 70_000, "sha384-" + "A" * 64, "0" * 64, "f16", "text_encoder", "unet",
    "https://example.org/", "pkg:pypi/a@1", "pkg:/", "%", "<script>", "\ud800", "1e999", "null",
)  # fmt: skip
_NUMBERS = (0, -1, 1, 2, 255, 2**31, 2**32, 2**53 + 1, 2**63, 2**64, 10**39, 10**400, 0.5, -0.0,
            1e308, float("inf"), float("nan"))  # fmt: skip
# Texts of JSON that json.dumps does not write.
_RAW = ("[" * 2000, "{" * 2000, '{"a":1,"a":2}', "1" * 5000, "1e999", "-", "NaN", "[,]", "\ufeff",
        '"\\ud800"', "/**/", "[" * 70 + "]" * 70, "1.0", "01", "tru")  # fmt: skip
_RAW_MARK = "\ue000raw\ue000"


def mutate(seeds: Sequence[bytes], random: Random, largest: int = LARGEST_INPUT) -> bytes:
    """Return one of some files, damaged.

    Args:
        seeds: good files.
        random: what decides how.
        largest: bytes of the largest input.
    """
    seed = random.choice(seeds)
    size = random.choice((largest, largest // 3, largest // 30)) if _is_one_in(random) else 0
    if random.random() < 0.5 and (changed := _mutate_json(seed, random, size)) is not None:
        return changed[:largest]
    data = bytearray(seed)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        data = _mutate_bytes(data, seeds, random)
    if size:
        at, more = random.randrange(len(data) + 1), random.choice((1, 2, 3, 8, 50, 400))
        data[at:at] = data[at : at + more] * (size // more)
    return bytes(data[:largest])


def _is_one_in(random: Random) -> bool:
    return random.randrange(_LARGE) == 0


def _mutate_bytes(data: bytearray, seeds: Sequence[bytes], random: Random) -> bytearray:
    at = random.randrange(len(data) + 1)
    until = min(len(data), at + random.choice((1, 2, 4, 8, 64, 1000)))
    match random.randrange(8):
        case 0 if at < len(data):
            data[at] ^= 1 << random.randrange(8)
        case 1 if at < len(data):
            data[at] = random.randrange(256)
        case 2:
            del data[at:until]
        case 3:
            data[at:at] = data[at:until] * random.choice((1, 1, 2, 50))
        case 4:
            del data[at:]
        case 5:
            other = random.choice(seeds)
            start = random.randrange(len(other) + 1)
            data[at:until] = other[start : start + random.choice((4, 40, 400))]
        case 6:
            number = random.choice((0, 1, -1, 2**31, 2**63 - 1, -(2**63), random.getrandbits(40)))
            data[at : at + 8] = number.to_bytes(8, "little", signed=True)
        case _:
            data[at:at] = random.choice((*_TEXTS, *_RAW)).encode(errors="surrogatepass")
    return data


def _mutate_json(seed: bytes, random: Random, size: int) -> bytes | None:
    try:
        value = json.loads(seed)
    except ValueError:
        return None
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change(value, random)
    if size:
        _grow(value, random, size)
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    if _RAW_MARK in value_texts(value):
        text = json.dumps(value).replace(json.dumps(_RAW_MARK), random.choice(_RAW), 100)
    return text.encode(errors="surrogatepass")


def value_texts(value: Any) -> list[Any]:
    """Return the values that lie directly or deeply in a JSON value."""
    found, waiting = [], [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            waiting += inner.values()
        elif isinstance(inner, list):
            waiting += inner
        else:
            found.append(inner)
    return found


def _find_place(value: Any, random: Random) -> tuple[Any, Any] | None:
    """Return an object or list and a key of it, by a walk that goes deeper most of the time."""
    place = value
    while isinstance(place, dict | list) and place:
        key = random.choice(list(place) if isinstance(place, dict) else list(range(len(place))))
        below = place[key]
        if not (isinstance(below, dict | list) and below and random.random() < 0.8):
            return place, key
        place = below
    return None


def _grow(value: Any, random: Random, size: int) -> None:
    """Repeat one place of a JSON value until it has about so many bytes."""
    found = _find_place(value, random)
    if found is None:
        return
    place, key = found
    what = random.choice((place[key], {}, [], 0, 0.5, "", None, [{}]))
    count = min(_MOST_COPIES, size // (len(json.dumps(what)) + 2))
    copies = [what] * count
    if isinstance(what, str) and random.random() < 0.5:
        # Names that differ, which readers may compare with each other.
        copies = [f"{what}{number}" for number in range(count // 2)]
    match random.randrange(3):
        case 0 if isinstance(place, list):
            place += copies
        case 1 if isinstance(place, dict):
            place.update((f"{key[:8]}{number}", what) for number in range(count))
        case _:
            place[key] = copies if random.random() < 0.8 else "\n" * (size // 2)


def _change(value: Any, random: Random) -> None:
    """Change one place of a JSON value."""
    found = _find_place(value, random)
    if found is None:
        return
    place, key = found
    below = place[key]
    match random.randrange(6):
        case 0:
            del place[key]
        case 1 if isinstance(place, dict):
            place[random.choice(_TEXTS)] = place[key]
        case 1 | 2 if isinstance(place, list):
            place += [place[key]] * random.choice((1, 1, 100))
        case 2 if isinstance(below, int | float):
            # Large whole numbers are no floats.
            place[key] = below + random.choice((-1, 1, 4) if isinstance(below, int) else (1, 0.5))
        case 2 if isinstance(below, str) and below:
            place[key] = below[: random.randrange(len(below))]
        case _:
            place[key] = _any(random)


def _any(random: Random) -> Any:
    return random.choice(
        (None, True, False, [], {}, [[]], {"": {}}, _RAW_MARK, random.choice(_TEXTS),
         random.choice(_TEXTS), random.choice(_NUMBERS), random.choice(_NUMBERS),
         [random.choice(_NUMBERS)] * random.choice((1, 3, 5000)))
    )  # fmt: skip


def fuzz(
    seeds: Sequence[bytes],
    path: Path,
    read: Callable[[Path], object],
    allowed: tuple[type[Exception], ...],
    count: int,
    seed: int,
    largest: int = LARGEST_INPUT,
) -> str:
    """Let a reader read damaged files; each is read or refused, soon and in little memory.

    Args:
        seeds: good files.
        path: where each input is written; the last one stays there when the process dies.
        read: the reader.
        allowed: the errors by which it refuses.
        count: number of inputs.
        seed: of the generator.
        largest: bytes of the largest input.

    Returns:
        how many were read, and the most that one input took.

    Raises:
        AssertionError: for any other error, an input of more than a second or of 100 MB.
    """
    random = Random(seed)
    for good in seeds:
        path.write_bytes(good)
        read(path)
    before, accepted, longest = peak_bytes(), 0, 0.0
    peak = before
    for number in range(count):
        data = mutate(seeds, random, largest)
        path.write_bytes(data)
        # Making a large input takes memory too, which does not count.
        before += max(0, peak_bytes() - peak)
        seconds, is_good, fault = _read(read, path, allowed)
        accepted += is_good
        for _ in range(RERUNS):
            if seconds > MOST_SECONDS:
                seconds = min(seconds, _read(read, path, allowed)[0])
        longest = max(longest, seconds)
        if seconds > MOST_SECONDS:
            fault = f"{seconds:.1f} s"
        peak = peak_bytes()
        if (taken := peak - before) > MOST_BYTES:
            fault = f"{taken >> 20} MiB"
        assert fault is None, f"input {number} of seed {seed} ({path}): {fault}: {data[:300]!r}"
    grown = (peak_bytes() - before) / (1 << 20)
    return f"{count} inputs, {accepted} read, longest {longest * 1e3:.0f} ms, {grown:.0f} MiB more"


def _read(
    read: Callable[[Path], object], path: Path, allowed: tuple[type[Exception], ...]
) -> tuple[float, bool, str | None]:
    """Read an input; returns seconds of the processor, whether it is read, and any other error."""
    started = time.process_time()
    is_good, fault = False, None
    try:
        read(path)
        is_good = True
    except allowed:
        pass
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"[:500]
    return time.process_time() - started, is_good, fault


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
