// Runs single kernels on Dawn: node kernels.mjs FEATURE... (WebGPU features that kernels may use)
//
// Each line on standard input is a JSON request:
//   {buffers: {name: path or bytes}, launches: [{code, entry, grid, buffers}], read: {name: path},
//   repeat}
// Buffers are filled from files, or with zeros; {hold: buffers} keeps buffers for the requests
// that follow. The entry point is "main" unless the launch names one. Each line on standard output is a JSON answer:
//   {ms}, the GPU time of one repetition in milliseconds, or {failure}. The first line describes
//   the adapter.

import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { createInterface } from "node:readline";

import { openDawn } from "./dawn.mjs";

const FEATURES = [...process.argv.slice(2), "timestamp-query"];
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupStorageSize",
];

const answer = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const gpu = openDawn(); // kept in a variable, because Dawn ends when it is collected
const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
if (adapter === null) {
  answer({ failure: "no adapter" });
  process.exit(1);
}
const features = FEATURES.filter((name) => adapter.features.has(name));
const limits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
const device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits: limits });
// A kernel that hangs may make the driver reset the GPU, and no other one runs afterwards.
void device.lost.then(({ message }) => {
  process.stderr.write(`the GPU is lost: ${message}\n`);
  process.exit(1);
});
const { vendor, architecture, description, subgroupMinSize, subgroupMaxSize } = adapter.info;
const matrices = [...(adapter.info.subgroupMatrixConfigs ?? [])].map((config) => [
  config.componentType,
  config.resultComponentType,
  config.M,
  config.N,
  config.K,
]);
answer({
  vendor,
  architecture,
  description,
  subgroups: [subgroupMinSize, subgroupMaxSize],
  features,
  limits,
  matrices,
});

const timed = features.includes("timestamp-query");
/** Measurements of one request, of which the fastest counts. */
const ROUNDS = 8;
const stamps = timed ? device.createQuerySet({ type: "timestamp", count: 2 * ROUNDS }) : undefined;
const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, MAP_READ, QUERY_RESOLVE } = GPUBufferUsage;

async function makeBuffers(wanted) {
  const made = {};
  for (const [name, from] of Object.entries(wanted)) {
    const data = typeof from === "string" ? await readFile(from) : undefined;
    const size = Math.ceil((data?.byteLength ?? from) / 4) * 4;
    made[name] = device.createBuffer({ size, usage: STORAGE | UNIFORM | COPY_SRC | COPY_DST });
    if (data !== undefined) device.queue.writeBuffer(made[name], 0, data);
  }
  return made;
}

async function makeLaunch({ code, entry = "main", grid, buffers }, made) {
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code });
  const compute = { module, entryPoint: entry };
  let pipeline;
  try {
    pipeline = await device.createComputePipelineAsync({ layout: "auto", compute });
  } finally {
    const error = await device.popErrorScope();
    if (error !== null) throw new Error(error.message);
  }
  const entries = buffers.map((name, binding) => ({ binding, resource: { buffer: made[name] } }));
  const layout = pipeline.getBindGroupLayout(0);
  return { pipeline, grid, group: device.createBindGroup({ layout, entries }) };
}

async function readBack(buffer) {
  const copy = device.createBuffer({ size: buffer.size, usage: COPY_DST | MAP_READ });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(GPUMapMode.READ);
  const bytes = new Uint8Array(copy.getMappedRange().slice(0));
  copy.destroy();
  return bytes;
}

/** GPU time of one repetition in milliseconds, in the fastest of several rounds. */
async function measure(launches, repeat, rounds) {
  const encoder = device.createCommandEncoder();
  for (let round = 0; round < rounds; round++) {
    const [beginningOfPassWriteIndex, endOfPassWriteIndex] = [2 * round, 2 * round + 1];
    const writes = { querySet: stamps, beginningOfPassWriteIndex, endOfPassWriteIndex };
    const pass = encoder.beginComputePass(timed ? { timestampWrites: writes } : {});
    for (let turn = 0; turn < repeat; turn++) {
      for (const { pipeline, group, grid } of launches) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(...grid);
      }
    }
    pass.end();
  }
  const size = 16 * rounds;
  const resolved = device.createBuffer({ size, usage: QUERY_RESOLVE | COPY_SRC });
  if (timed) encoder.resolveQuerySet(stamps, 0, 2 * rounds, resolved, 0);
  device.queue.submit([encoder.finish()]);
  const bytes = await readBack(resolved);
  resolved.destroy();
  if (!timed) return null;
  const times = new BigUint64Array(bytes.buffer);
  const found = Array.from({ length: rounds }, (_, n) => Number(times[2 * n + 1] - times[2 * n]));
  return Math.min(...found) / 1e6 / repeat;
}

let held = {};
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let made = {};
  try {
    if (request.hold !== undefined) {
      for (const buffer of Object.values(held)) buffer.destroy();
      held = await makeBuffers(request.hold);
      answer({});
      continue;
    }
    made = await makeBuffers(request.buffers);
    const launches = [];
    for (const launch of request.launches) {
      launches.push(await makeLaunch(launch, { ...held, ...made }));
    }
    // An idle GPU lowers its clock; the first rounds raise it.
    const repeat = request.repeat ?? 1;
    const ms = await measure(launches, repeat, repeat > 1 ? ROUNDS : 1);
    for (const [name, path] of Object.entries(request.read ?? {})) {
      await writeFile(path, await readBack(made[name]));
    }
    answer({ ms });
  } catch (error) {
    answer({ failure: String(error?.message ?? error) });
  } finally {
    for (const buffer of Object.values(made)) buffer.destroy();
  }
}
process.exit(0);
