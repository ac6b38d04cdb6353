/**
 * What the tests in Python do in a page: tests/pages.py evaluates this program there and calls
 * its functions by name. Arguments and results are JSON.
 */

import { importModule } from "../../src/driver/import_module";
import type { DrawOptions, LoadOptions, Usage } from "../../src/index";
import type * as Client from "../../src/index";

type Outcome<Value> = { value: Value } | { name: string; message: string; hint: string };
type Stage = Client.ProgressEvent["stage"];

let client: typeof Client;
let pipeline: Client.StableDiffusionPipeline;
let notices: string[] = [];
let signals = 0;
let started: unknown;

async function attempt<Value>(work: () => Promise<Value>): Promise<Outcome<Value>> {
  try {
    return { value: await work() };
  } catch (error) {
    const { name, message, hint } = error as Client.WsdError;
    return { name, message, hint };
  }
}

/** Load a model with the bundle's client. */
async function load(manifest: string, options: LoadOptions = {}): Promise<Outcome<boolean>> {
  client = (await importModule("/client.js")) as typeof Client;
  notices = [];
  return attempt(async () => {
    pipeline = await client.StableDiffusionPipeline.fromPretrained(manifest, {
      ...options,
      onNotice: (notice) => notices.push(notice),
    });
    return true;
  });
}

/** Draw a picture of two steps; its value is the latents. */
async function draw(options: DrawOptions = {}): Promise<Outcome<number[]>> {
  return attempt(async () => {
    const request = { numInferenceSteps: 2, seed: 3, ...options };
    const { latents } = await pipeline.generate("a large red circle", request);
    return Array.from(latents);
  });
}

/** Draw, and have the worker's fault (faults/device_loss.ts) lose the GPU after the first step. */
async function drawAndLoseDevice(): Promise<Outcome<number[]>> {
  return draw({
    numInferenceSteps: 50,
    onProgress: ({ stage, loaded }) => {
      if (stage === "denoise" && loaded === 1) new BroadcastChannel("lose-device").postMessage(0);
    },
  });
}

/** Options that cancel the work as soon as a stage is reported. */
function cancelAt(wanted: Stage): Pick<DrawOptions & LoadOptions, "signal" | "onProgress"> {
  const controller = new AbortController();
  return {
    signal: controller.signal,
    onProgress: ({ stage }) => {
      if (stage === wanted) controller.abort();
    },
  };
}

/** Cancel loading and drawing at each stage, and compare what is held before and afterwards. */
async function cancelEverywhere(manifest: string): Promise<{
  loading: Outcome<boolean>[];
  loaded: Outcome<boolean>;
  /** The stages of loading, in the order in which they were reported. */
  stages: Stage[];
  drawing: Outcome<number[]>[];
  drawn: Outcome<number[]>;
  before: Usage;
  after: Usage;
}> {
  const loading: Outcome<boolean>[] = [];
  for (const stage of ["library", "pipelines", "parameters"] as const) {
    loading.push(await load(manifest, cancelAt(stage)));
  }
  const stages: Stage[] = [];
  const loaded = await load(manifest, {
    onProgress: ({ stage }) => {
      if (stages.at(-1) !== stage) stages.push(stage);
    },
  });
  const drawing: Outcome<number[]>[] = [];
  for (const stage of ["text", "denoise", "decode"] as const) {
    // With several pictures there is work left after the first one is decoded.
    drawing.push(await draw({ ...cancelAt(stage), numImages: 8 }));
  }
  await draw({ numImages: 2 });
  const before = await pipeline.usage();
  const drawn = await draw({ numImages: 2 });
  return { loading, loaded, stages, drawing, drawn, before, after: await pipeline.usage() };
}

/** Draw pictures of one step, and count after each what is held. */
async function drawMany(count: number): Promise<Usage[]> {
  const seen: Usage[] = [];
  for (let seed = 0; seed < count; seed++) {
    await draw({ seed, numInferenceSteps: 1 });
    seen.push(await pipeline.usage());
  }
  return seen;
}

/** Start a call and do not wait for it; `finished` does. */
function start(name: keyof typeof functions, ...args: unknown[]): void {
  started = (functions[name] as (...args: unknown[]) => unknown)(...args);
}

/** Count the messages of a channel from now on; {@link countedSignals} returns their number. */
function countSignals(channel: string): void {
  signals = 0;
  new BroadcastChannel(channel).onmessage = () => (signals += 1);
}

/** The folder in which the page keeps files. */
async function keptFolder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle("wsd", { create: true });
}

/** List the digests of the files that the browser keeps, without manifests and lists. */
async function keptFiles(): Promise<string[]> {
  const folder = await keptFolder();
  const found: string[] = [];
  for (const key of await keptNames()) {
    // A file is empty until all of it is written: a worker that ends before leaves it so.
    if ((await (await folder.getFileHandle(key)).getFile()).size > 0) found.push(key);
  }
  return found;
}

async function keptNames(): Promise<string[]> {
  const found: string[] = [];
  for await (const key of (await keptFolder()).keys()) found.push(key);
  return found.filter((key) => !key.startsWith("text-"));
}

/** What can happen to a file that the browser keeps. */
type Damage = "flipped" | "cut" | "emptied" | "removed" | "a folder";

/** Damage the VAE's first shard where the browser keeps it, and return its name. */
async function damageKeptShard(manifestUrl: string, damage: Damage = "flipped"): Promise<string> {
  const manifest = (await (await fetch(manifestUrl)).json()) as Client.Manifest;
  const { file, sha256 } = manifest.components.vae!.shards[0]!;
  const folder = await keptFolder();
  const handle = await folder.getFileHandle(sha256);
  let data = new Uint8Array(await (await handle.getFile()).arrayBuffer());
  if (damage === "flipped") data[data.length >> 1]! ^= 1;
  if (damage === "cut") data = data.subarray(0, data.length >> 1);
  if (damage === "emptied") data = data.subarray(0, 0);
  if (damage === "removed" || damage === "a folder") {
    await folder.removeEntry(sha256);
    if (damage === "a folder") await folder.getDirectoryHandle(sha256, { create: true });
    return file;
  }
  const writable = await handle.createWritable();
  await writable.write(data);
  await writable.close();
  return file;
}

/** Remove all that the browser keeps for the page. */
async function clearKept(): Promise<void> {
  await (await navigator.storage.getDirectory()).removeEntry("wsd", { recursive: true });
}

/** List the files that the browser keeps and whose content is not what their name says. */
async function unsoundFiles(): Promise<string[]> {
  const folder = await keptFolder();
  const found: string[] = [];
  for (const key of await keptNames()) {
    const data = await (await folder.getFileHandle(key)).getFile();
    const digest = await crypto.subtle.digest("SHA-256", await data.arrayBuffer());
    if (toHex(digest) !== key) found.push(key);
  }
  return found;
}

function toHex(digest: ArrayBuffer): string {
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The file in which the page keeps a list of models or a manifest. */
async function keptTextFile(address: string): Promise<FileSystemFileHandle> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(address));
  return (await keptFolder()).getFileHandle(`text-${toHex(digest)}`);
}

async function keptText(address: string): Promise<string> {
  return (await (await keptTextFile(address)).getFile()).text();
}

/** Replace what the browser keeps of a list of models or a manifest. */
async function replaceKeptText(address: string, text: string): Promise<void> {
  const writable = await (await keptTextFile(address)).createWritable();
  await writable.write(text);
  await writable.close();
}

/** The page's canvas: width, height and RGBA bytes. */
function canvasPixels(): [number, number, number[]] {
  const canvas = document.getElementById("canvas") as HTMLCanvasElement;
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d")!.getImageData(0, 0, width, height);
  return [width, height, Array.from(data)];
}

/** Drop a PNG file on the page. */
function dropPng(bytes: number[]): void {
  dropFile(bytes, "it.png", "image/png");
}

/** Drop a file on the page; its type is "" where browsers know none. */
function dropFile(bytes: number[], name: string, type = ""): void {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], name, { type }));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: files, cancelable: true }));
}

/** Paste a text on the page. */
function pasteText(text: string): void {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  const pasted = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
  document.body.dispatchEvent(pasted);
}

/** Have the browser compile WGSL, and list what it complains about. */
async function checkShaders(shaders: Record<string, string>): Promise<string[]> {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  const faults: string[] = [];
  for (const [name, code] of Object.entries(shaders)) {
    device.pushErrorScope("validation");
    const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
    await device.popErrorScope();
    for (const { type, lineNum, message } of messages) {
      if (type !== "info") faults.push(`${name}:${lineNum}: ${type}: ${message}`);
    }
  }
  device.destroy();
  return faults;
}

const functions = {
  load,
  draw,
  drawAndLoseDevice,
  cancelEverywhere,
  drawMany,
  start,
  finished: () => started,
  countSignals,
  countedSignals: () => signals,
  notices: () => notices,
  usage: () => pipeline.usage(),
  unload: () => pipeline.unload(),
  purge: (manifest: string) => client.StableDiffusionPipeline.purge(manifest),
  keptFiles,
  damageKeptShard,
  clearKept,
  unsoundFiles,
  keptText,
  replaceKeptText,
  canvasPixels,
  dropPng,
  dropFile,
  pasteText,
  checkShaders,
};

Object.assign(globalThis, { wsdTests: functions });
