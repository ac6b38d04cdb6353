// Build the developers' tools: node developer.mjs --tvmjs FOLDER --out FOLDER
//
// The page's client with a worker that also times kernels and calls single stages (src/driver,
// src/diagnostics). No bundle has them: `wsd bench` and `wsd parity` serve them beside a bundle.

import { writeFile } from "node:fs/promises";
import path from "node:path";

import { CLIENT, makeBundler, readArguments } from "./page_bundler.mjs";

const values = readArguments("developer.mjs");
const { bundle, bundleWorker, output } = makeBundler(values);

const [, define] = await bundleWorker("driver", "src/driver/worker.ts");
const client = await bundle("driver", { entryPoints: [CLIENT], define });
const name = path.basename(output(client, CLIENT.in, ".js"));
// A name that stays, for wsd/runtime/driver.py.
await writeFile(path.join(values.out, "driver", "client.js"), `export * from "./${name}";\n`);
