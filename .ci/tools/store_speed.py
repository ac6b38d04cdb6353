"""Measure how fast Chromium reads files that a page keeps: python -m tools.store_speed FILES MIB.

A worker writes files of random bytes into the origin private file system, and reads them as
``web/src/bundle/cache.ts`` may: as a ``File``, whose bytes pass through another process, or in
place; alone, and with the SHA-256 that follows. Four files are read at a time, as shards are.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from wsd.runtime.chromium import open_browser
from wsd.util.terminal import say

_WORKER = """
const PARALLEL = 4;
onmessage = async ({ data: { files, bytes } }) => {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("speed", { create: true });
  const content = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65536)
    crypto.getRandomValues(content.subarray(at, at + 65536));
  const handles = [];
  for (let index = 0; index < files; index++) {
    handles.push(await folder.getFileHandle(String(index), { create: true }));
    const writable = await handles[index].createWritable();
    await writable.write(content);
    await writable.close();
  }
  const ways = {
    "as a File": async (handle) => (await handle.getFile()).arrayBuffer(),
    "in place": async (handle) => {
      const access = await handle.createSyncAccessHandle({ mode: "read-only" });
      const read = new Uint8Array(access.getSize());
      access.read(read, { at: 0 });
      access.close();
      return read.buffer;
    },
  };
  const found = [];
  for (const round of [1, 2])
    for (const [name, read] of Object.entries(ways))
      for (const hashes of [false, true]) {
        let next = 0;
        const started = performance.now();
        const work = async () => {
          while (next < files) {
            const data = await read(handles[next++]);
            if (hashes) await crypto.subtle.digest("SHA-256", data);
          }
        };
        await Promise.all(Array.from({ length: PARALLEL }, work));
        const seconds = (performance.now() - started) / 1000;
        found.push({ round, name: hashes ? `${name}, and SHA-256` : name, seconds });
      }
  postMessage(found);
};
"""
_ASK = """(given) => new Promise((resolve, reject) => {
  const worker = new Worker("worker.js");
  worker.onmessage = ({ data }) => resolve(data);
  worker.onerror = ({ message }) => reject(new Error(message));
  worker.postMessage(given);
})"""


def main(files: int, mib: int) -> None:
    """Print a line for each way and round: mebibytes a second."""
    with tempfile.TemporaryDirectory() as profile, open_browser(Path(profile)) as context:
        context.route("http://localhost/", lambda route: route.fulfill(body="<!doctype html>"))
        context.route(
            "http://localhost/worker.js",
            lambda route: route.fulfill(body=_WORKER, content_type="text/javascript"),
        )
        page = context.new_page()
        page.goto("http://localhost/")
        for line in page.evaluate(_ASK, {"files": files, "bytes": mib * 2**20}):
            rate = files * mib / line["seconds"]
            say(f"round {line['round']}: {line['name']:28} {rate:6.0f} MiB/s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
