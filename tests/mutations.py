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

# Seconds of the processor, and bytes of memory, that one input may take.
MOST_SECONDS = 1.0
MOST_BYTES = 100 << 20
# Bytes of an input. Python's values take up to ten times what their JSON takes.
_LONGEST_INPUT = 1 << 20

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


def mutate(seeds: Sequence[bytes], random: Random) -> bytes:
    """Return one of some files, damaged, of at most a megabyte."""
    seed = random.choice(seeds)
    if random.random() < 0.5 and (changed := _mutate_json(seed, random)) is not None:
        return changed[:_LONGEST_INPUT]
    data = bytearray(seed)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        data = _mutate_bytes(data, seeds, random)
    return bytes(data[:_LONGEST_INPUT])


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


def _mutate_json(seed: bytes, random: Random) -> bytes | None:
    try:
        value = json.loads(seed)
    except ValueError:
        return None
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _change(value, random)
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    if _RAW_MARK in value_texts(value):
        text = json.dumps(value).replace(json.dumps(_RAW_MARK), random.choice(_RAW))
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


def _change(value: Any, random: Random) -> None:
    """Change one place of a JSON value, found by a walk that goes deeper half of the time."""
    place = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = random.choice(keys)
        below = place[key]
        if not (isinstance(below, dict | list) and below and random.random() < 0.8):
            break
        place = below
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
) -> str:
    """Let a reader read damaged files; each is read or refused, soon and in little memory.

    Args:
        seeds: good files.
        path: where each input is written; the last one stays there when the process dies.
        read: the reader.
        allowed: the errors by which it refuses.
        count: number of inputs.
        seed: of the generator.

    Returns:
        how many were read, and the most that one input took.

    Raises:
        AssertionError: for any other error, an input of more than a second or of 100 MB.
    """
    random = Random(seed)
    for good in seeds:
        path.write_bytes(good)
        read(path)
    before, accepted, longest = _peak_bytes(), 0, 0.0
    for number in range(count):
        data = mutate(seeds, random)
        path.write_bytes(data)
        started = time.process_time()
        fault = None
        try:
            read(path)
            accepted += 1
        except allowed:
            pass
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"[:500]
        seconds = time.process_time() - started
        longest = max(longest, seconds)
        if seconds > MOST_SECONDS:
            fault = f"{seconds:.1f} s"
        if (taken := _peak_bytes() - before) > MOST_BYTES:
            fault = f"{taken >> 20} MiB"
        assert fault is None, f"input {number} of seed {seed} ({path}): {fault}: {data[:300]!r}"
    grown = (_peak_bytes() - before) / (1 << 20)
    return f"{count} inputs, {accepted} read, longest {longest * 1e3:.0f} ms, {grown:.0f} MiB more"


def _peak_bytes() -> int:
    """Return the most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
