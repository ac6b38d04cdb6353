// Parses and validates WGSL with Tint, the compiler of Chromium, by Dawn: node check_wgsl.mjs
//
// Dawn's null backend is a device without a GPU that has every feature, so this needs no driver.
// One JSON request a line on standard input:
//   {code, features, pipeline}: features are those that the shader's device has; pipeline says
//   whether a compute pipeline must be possible within WebGPU's default limits.
// One JSON answer a line on standard output, in the order of the requests:
//   {faults: [{line, column, message}]}; line and column are 0 for a fault of the pipeline.

import process from "node:process";
import { createInterface } from "node:readline";

import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]); // held: Dawn ends with it
const devices = new Map();

/** A device that has these features and no others. */
async function openDevice(features) {
  const key = features.join(" ");
  if (!devices.has(key)) {
    const adapter = await gpu.requestAdapter();
    if (adapter === null) throw new Error("Dawn has no null backend");
    devices.set(key, await adapter.requestDevice({ requiredFeatures: features }));
  }
  return devices.get(key);
}

async function findFaults({ code, features, pipeline }) {
  const device = await openDevice(features);
  // Validation errors are what is looked for: they must not reach the device's error handler.
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const { messages } = await module.getCompilationInfo();
  await device.popErrorScope();
  const faults = [...messages]
    .filter(({ type }) => type === "error")
    .map(({ lineNum, linePos, message }) => ({ line: lineNum, column: linePos, message }));
  if (faults.length === 0 && pipeline) {
    device.pushErrorScope("validation");
    device.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
    const error = await device.popErrorScope();
    if (error !== null) faults.push({ line: 0, column: 0, message: error.message });
  }
  return faults;
}

// Dawn prints a text with every module that has a warning, such as a deprecated builtin.
console.warn = console.error = () => {};
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify({ faults: await findFaults(JSON.parse(line)) })}\n`);
}
process.exit(0);
