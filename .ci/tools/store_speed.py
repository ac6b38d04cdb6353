"""Measure how fast Chromium reads kept files: python -m tools.store_speed FILES MIB [WORKERS].

A worker writes files of random bytes into the origin private file system, and reads them as
``web/src/bundle/cache.ts`` may: as a ``File``, whose bytes pass through another process, or in
place, into new memory or into memory that is used again; alone, and with the SHA-256 that follows.
Four files are read at a time, as shards are. Then workers of its own read them in place, compute
the digests and hand the bytes over, as those of ``web/src/bundle/store_workers.ts`` do: two, and
WORKERS (4 unless given). How fast one worker computes SHA-256 without any reading is measured too.
Each line has the rate, and in brackets how often it is that of reading as a ``File`` in the same
round, with SHA-256 or without.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from wsd.runtime.chromium import open_browser
from wsd.util.terminal import say

_READER = """
const folder = navigator.storage.getDirectory().then((root) => root.getDirectoryHandle("speed"));
onmessage = async ({ data: { name, hashes, into } }) => {
  const handle = await (await folder).getFileHandle(name);
  const access = await handle.createSyncAccessHandle({ mode: "read-only" });
  const read = new Uint8Array(into ?? access.getSize());
  access.read(read, { at: 0 });
  access.close();
  if (hashes) await crypto.subtle.digest("SHA-256", read);
  postMessage(read.buffer, [read.buffer]);
};
"""
_WORKER = """
const PARALLEL = 4;
onmessage = ({ data }) => measure(data).then(postMessage, (error) => postMessage(String(error)));
async function measure({ files, bytes, most, reader }) {
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
  const inPlace = async (handle, into) => {
    const access = await handle.createSyncAccessHandle({ mode: "read-only" });
    const read = new Uint8Array(into ?? access.getSize());
    access.read(read, { at: 0 });
    access.close();
    return read.buffer;
  };
  const spare = [];
  const ways = {
    "as a File": async (handle) => (await handle.getFile()).arrayBuffer(),
    "in place": (handle) => inPlace(handle),
    "in place, memory reused": (handle) => inPlace(handle, spare.pop()),
  };
  const time = async (round, name, hashes, width, work) => {
    let next = 0;
    const started = performance.now();
    const workAll = async () => {
      while (next < files) await work(next++);
    };
    await Promise.all(Array.from({ length: width }, workAll));
    const seconds = (performance.now() - started) / 1000;
    found.push({ round, name, hashes, seconds });
  };
  const script = URL.createObjectURL(new Blob([reader]));
  const readWith = async (round, count, hashes) => {
    const workers = Array.from({ length: count }, () => new Worker(script));
    const ask = (worker, question) =>
      new Promise((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = () => reject(new Error("a worker does not run"));
        worker.postMessage(question, question.into === undefined ? [] : [question.into]);
      });
    await Promise.all(workers.map((worker) => ask(worker, { name: "0", hashes })));
    const free = [...workers];
    await time(round, `in ${count} workers`, hashes, count, async (index) => {
      const worker = free.pop();
      spare.push(await ask(worker, { name: String(index), hashes, into: spare.pop() }));
      free.push(worker);
    });
    for (const worker of workers) worker.terminate();
    spare.length = 0;
  };
  const found = [];
  for (const round of [1, 2]) {
    for (const hashes of [false, true]) {
      for (const [name, read] of Object.entries(ways))
        await time(round, name, hashes, PARALLEL, async (index) => {
          const data = await read(handles[index]);
          if (hashes) await crypto.subtle.digest("SHA-256", data);
          if (name.endsWith("reused")) spare.push(data);
        });
      spare.length = 0;
      for (const count of new Set([2, most])) await readWith(round, count, hashes);
    }
    await time(round, "without reading", true, PARALLEL, () =>
      crypto.subtle.digest("SHA-256", content),
    );
  }
  return found;
}
"""
# Gives a page's worker.js what it is to measure. A string that comes back is an error.
ASK = """(given) => new Promise((resolve, reject) => {
  const worker = new Worker("worker.js");
  worker.onmessage = ({ data }) =>
    typeof data === "string" ? reject(new Error(data)) : resolve(data);
  worker.onerror = ({ message }) => reject(new Error(message));
  worker.postMessage(given);
})"""


def main(files: int, mib: int, workers: int = 4) -> None:
    """Print a line for each way and round: mebibytes a second."""
    with tempfile.TemporaryDirectory() as profile, open_browser(Path(profile)) as context:
        context.route("http://localhost/", lambda route: route.fulfill(body="<!doctype html>"))
        context.route(
            "http://localhost/worker.js",
            lambda route: route.fulfill(body=_WORKER, content_type="text/javascript"),
        )
        page = context.new_page()
        page.goto("http://localhost/")
        given = {"files": files, "bytes": mib * 2**20, "most": workers, "reader": _READER}
        lines = page.evaluate(ASK, given)
        # The first way of each round, without SHA-256 and with it: the others are compared to it.
        first: dict[tuple[int, bool], float] = {}
        for line in lines:
            base = first.setdefault((line["round"], line["hashes"]), line["seconds"])
            name = line["name"] + (", SHA-256" if line["hashes"] else "")
            rate = files * mib / line["seconds"]
            ratio = base / line["seconds"]
            say(f"round {line['round']}: {name:34} {rate:6.0f} MiB/s ({ratio:.2f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
