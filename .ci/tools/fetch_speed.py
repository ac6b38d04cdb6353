"""Measure how fast Chromium fetches large files: python -m tools.fetch_speed FILES MIB [ROUNDS].

Files of random bytes are fetched from this machine by a worker, six at a time and as
``web/src/bundle/download.ts`` reads them: through the browser's HTTP cache, which keeps them, and
past it. Each fetch has a profile of its own, so that nothing is kept before. A line has the rate,
and what the HTTP cache takes on the disk afterwards.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tools.store_speed import ASK
from wsd.runtime.chromium import open_browser
from wsd.runtime.server import served_files
from wsd.util.terminal import say

# RequestInit.cache.
_WAYS = ("default", "no-store")
_WORKER = """
onmessage = ({ data }) => measure(data).then(postMessage, (error) => postMessage(String(error)));
async function measure({ files, bytes, cache }) {
  const waiting = [...files];
  const readAll = async () => {
    while (waiting.length > 0) {
      const { body } = await fetch(waiting.pop(), { cache });
      const data = new Uint8Array(bytes);
      let length = 0;
      for (const reader = body.getReader(); ; ) {
        const { done, value } = await reader.read();
        if (done) break;
        data.set(value, length);
        length += value.length;
      }
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: 6 }, readAll));
  return (performance.now() - started) / 1000;
}
"""


def main(files: int, mib: int, rounds: int = 3) -> None:
    """Print a line for each way and round: mebibytes a second, and those of the HTTP cache."""
    names = [f"{index}.bin" for index in range(files)]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            Path(folder, name).write_bytes(os.urandom(mib << 20))
        Path(folder, "index.html").write_text("<!doctype html>", encoding="utf-8")
        Path(folder, "worker.js").write_text(_WORKER, encoding="utf-8")
        with served_files(Path(folder)) as address:
            for number in range(rounds):
                for cache in _WAYS:
                    given = {"files": names, "bytes": mib << 20, "cache": cache}
                    seconds, kept = _fetch(address, given)
                    rate = files * mib / seconds
                    say(f"round {number + 1}: {cache:8} {rate:6.0f} MiB/s, {kept:6.0f} MiB kept")


def _fetch(address: str, given: dict[str, object]) -> tuple[float, float]:
    """Return the seconds that a new profile takes, and the MiB of its HTTP cache at the end."""
    with tempfile.TemporaryDirectory() as profile:
        with open_browser(Path(profile)) as context:
            page = context.new_page()
            page.goto(address)
            seconds = float(page.evaluate(ASK, given))
        caches = (path for path in Path(profile).rglob("Cache/**/*") if path.is_file())
        return seconds, sum(path.stat().st_size for path in caches) / 2**20


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
