// Times every candidate of every problem, and checks it: node bench.mjs PROBLEMS OUT SECONDS
//
// PROBLEMS is problems.json.gz. OUT is a file of one JSON object a line. What it has already is not
// run again, so that a driver that ends the process costs one candidate: run.sh starts this program
// until it ends with 0, or with 2 because there is no GPU.
// Environment: BENCH_FILTER, a regular expression of "problem | candidate"; WSD_DAWN, Dawn's
// options; BENCH_ROUNDS=0 to check results and time nothing.
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import process from "node:process";
import { gunzipSync } from "node:zlib";

import { expectSamples, makeInput } from "./reference.mjs";
import { create, globals } from "./webgpu/index.js";

Object.assign(globalThis, globals);
const [problemsPath, outPath, seconds] = process.argv.slice(2);
const deadline = Date.now() + 1000 * Number(seconds);
const filter = new RegExp(process.env.BENCH_FILTER ?? "");
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
const ROUND_MS = 2;
const SLOW_MS = 60; // one that takes longer gets two rounds
const WARM_UP_MS = 300; // an idle GPU lowers its clock
const COMPILE_SECONDS = 60;
const CANDIDATE_SECONDS = 25;
const TIMESTAMPS = "timestamp-query";
const FEATURES = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix", TIMESTAMPS];
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupStorageSize",
];
const put = (entry) => appendFileSync(outPath, `${JSON.stringify(entry)}\n`);
const keyOf = (problem, candidate) => `${problem.id} | ${candidate.name}`;

/** What earlier processes did: candidates that are done, problems whose compilation ended one. */
function readEarlier() {
  const earlier = { done: new Set(), crashing: new Set() };
  if (!existsSync(outPath)) return earlier;
  const starts = new Map();
  const compiling = new Set();
  for (const line of readFileSync(outPath, "utf8").split("\n").filter(Boolean)) {
    const entry = JSON.parse(line);
    if (entry.start) starts.set(entry.start, (starts.get(entry.start) ?? 0) + 1);
    if (entry.key) earlier.done.add(entry.key);
    if (entry.compiling) compiling.add(entry.compiling);
    if (entry.compiled) compiling.delete(entry.compiled);
    if (entry.crashing) earlier.crashing.add(entry.crashing);
  }
  const unknown = [...compiling].filter((id) => !earlier.crashing.has(id));
  for (const id of unknown) {
    put({ crashing: id });
    earlier.crashing.add(id);
  }
  for (const [key, count] of starts) {
    // If pipelines were compiled beside it, the candidate may not be what ended the process.
    if (earlier.done.has(key) || (unknown.length > 0 && count === 1)) continue;
    put({ key, failure: "the process ended while it ran" });
    earlier.done.add(key);
  }
  return earlier;
}

const earlier = readEarlier();
const { problems, shaders } = JSON.parse(gunzipSync(readFileSync(problemsPath)).toString("utf8"));
const gpu = create((process.env.WSD_DAWN ?? "").split(" ").filter(Boolean));
const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
if (!adapter) {
  console.error("error: Dawn finds no GPU\nhint: name the driver's file by VK_DRIVER_FILES");
  process.exit(2);
}
const { info, limits } = adapter;
const features = FEATURES.filter((name) => adapter.features.has(name));
const device = await adapter.requestDevice({
  requiredFeatures: features,
  requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, limits[name]])),
});
device.lost.then(({ message }) => {
  put({ lost: message });
  process.exit(4);
});
const timed = features.includes(TIMESTAMPS);
put({
  adapter: info.description,
  vendor: info.vendor,
  architecture: info.architecture,
  features,
  shared: limits.maxComputeWorkgroupStorageSize,
  threads: limits.maxComputeInvocationsPerWorkgroup,
  subgroups: [info.subgroupMinSize, info.subgroupMaxSize],
  matrices: [...(info.subgroupMatrixConfigs ?? [])].map(
    ({ componentType, resultComponentType, M, N, K }) => [
      componentType,
      resultComponentType,
      M,
      N,
      K,
    ],
  ),
  dawn: process.env.WSD_DAWN,
  date: new Date().toISOString(),
});

const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, MAP_READ, QUERY_RESOLVE } = GPUBufferUsage;

function makeBuffer(bytes) {
  const size = Math.ceil(bytes / 16) * 16;
  return device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
}

const uniforms = new Map();

/** A buffer that holds a number. */
function makeUniform(value) {
  if (!uniforms.has(value)) {
    const buffer = device.createBuffer({ size: 16, usage: UNIFORM | COPY_DST });
    device.queue.writeBuffer(buffer, 0, new Uint32Array([value]));
    uniforms.set(value, buffer);
  }
  return uniforms.get(value);
}

/** The bytes at some offsets of a buffer, `size` at each. */
async function readBack(buffer, offsets, size) {
  const copy = device.createBuffer({ size: size * offsets.length, usage: COPY_DST | MAP_READ });
  const encoder = device.createCommandEncoder();
  offsets.forEach((at, n) => encoder.copyBufferToBuffer(buffer, at, copy, size * n, size));
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(GPUMapMode.READ);
  const bytes = copy.getMappedRange().slice(0);
  copy.destroy();
  return bytes;
}

const stamps =
  timed && device.createQuerySet({ type: "timestamp", count: 2 * Math.max(ROUNDS, 3) });

/** Milliseconds of one repetition in each of several rounds, the shortest first. */
async function measure(launches, repeat, rounds) {
  const encoder = device.createCommandEncoder();
  for (let round = 0; round < rounds; round++) {
    const writes = {
      querySet: stamps,
      beginningOfPassWriteIndex: 2 * round,
      endOfPassWriteIndex: 2 * round + 1,
    };
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
  const began = performance.now();
  device.queue.submit([encoder.finish()]);
  const times = new BigUint64Array(await readBack(resolved, [0], size));
  resolved.destroy();
  if (!timed) return [(performance.now() - began) / rounds / repeat];
  return Array.from(
    { length: rounds },
    (_, n) => Number(times[2 * n + 1] - times[2 * n]) / 1e6 / repeat,
  ).sort((a, b) => a - b);
}

/** A pipeline with the milliseconds that it took, or the failure. */
async function compile(code) {
  device.pushErrorScope("validation");
  device.pushErrorScope("internal");
  const began = performance.now();
  const module = device.createShaderModule({ code });
  const made = device
    .createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } })
    .then(
      (pipeline) => ({ pipeline, ms: Math.round(performance.now() - began) }),
      (error) => ({ failure: error.message }),
    );
  const scopes = Promise.all([device.popErrorScope(), device.popErrorScope()]);
  let timer;
  const late = new Promise((resolve) => {
    const failure = `not compiled within ${COMPILE_SECONDS} s`;
    timer = setTimeout(() => resolve({ failure }), 1000 * COMPILE_SECONDS);
  });
  const result = await Promise.race([made, late]);
  clearTimeout(timer);
  const errors = (await scopes).filter(Boolean).map(({ message }) => message);
  return errors.length > 0 ? { failure: errors.join("; ") } : result;
}

/** The pipelines of a problem: all at once, unless that ended the process before. */
async function compileAll({ problem, candidates }) {
  const made = new Map();
  if (earlier.crashing.has(problem.id)) return made;
  const ids = new Set(candidates.flatMap(({ launches }) => launches.map(({ shader }) => shader)));
  put({ compiling: problem.id });
  await Promise.all([...ids].map(async (id) => made.set(id, await compile(shaders[id]))));
  put({ compiled: problem.id });
  return made;
}

/** What a candidate needs and the device lacks, in words. */
function findLacks({ features: needed, threads, shared }) {
  const lacks = needed.filter((name) => !features.includes(name));
  if (threads > limits.maxComputeInvocationsPerWorkgroup) lacks.push(`${threads} threads`);
  if (shared > limits.maxComputeWorkgroupStorageSize)
    lacks.push(`${shared} bytes of shared memory`);
  return lacks.join(", ");
}

async function prepareLaunch(launch, pipelines, buffers) {
  if (!pipelines.has(launch.shader)) {
    pipelines.set(launch.shader, await compile(shaders[launch.shader]));
  }
  const { pipeline, ms, failure } = pipelines.get(launch.shader);
  if (failure) throw new Error(failure);
  device.pushErrorScope("validation");
  const bound = launch.buffers.map((name) => buffers[name]);
  if (launch.uniform !== null) bound.push(makeUniform(launch.uniform));
  const entries = bound.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const error = await device.popErrorScope();
  if (error) throw new Error(error.message);
  return { ...launch, pipeline, group, ms };
}

/** The relative error of the sampled results; NaN if one of them is no number. */
async function findError(result, expected) {
  const offsets = expected.map(([at]) => 4 * at);
  const found = new Float32Array(await readBack(result, offsets, 4));
  let wrong = 0;
  let norm = 0;
  expected.forEach(([, value], n) => {
    wrong += (found[n] - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(wrong / norm);
}

const repeats = (ms) => Math.max(1, Math.min(64, Math.ceil(ROUND_MS / Math.max(ms, 0.005))));
let isWarm = false; // of each problem anew: the GPU is idle while pipelines are compiled

/** Times of all launches but those that run once, and of each by itself. */
async function findTimes(launches) {
  const often = launches.filter(({ once }) => !once);
  let [first] = await measure(often, 1, 1);
  if (!isWarm) {
    await measure(often, Math.min(2000, Math.ceil(WARM_UP_MS / Math.max(first, 0.01))), 1);
    isWarm = true;
    [first] = await measure(often, 1, 1);
  }
  const times = await measure(often, repeats(first), first > SLOW_MS ? 2 : ROUNDS);
  const parts = {};
  for (const launch of launches.length > 1 ? launches : []) {
    const [ms] = await measure([launch], repeats(first / launches.length), 3);
    parts[launch.label] = ms;
  }
  return { ms: times[0], median: times[times.length >> 1], parts };
}

async function runCandidate(problem, candidate, { pipelines, inputs, expected }) {
  const own = { [problem.result.name]: makeBuffer(4 * problem.result.count) };
  for (const [name, size] of Object.entries(candidate.scratch)) own[name] = makeBuffer(size);
  try {
    const launches = [];
    for (const launch of candidate.launches) {
      launches.push(await prepareLaunch(launch, pipelines, { ...inputs, ...own }));
    }
    await measure(launches, 1, 1);
    const error = await findError(own[problem.result.name], expected);
    const { limit, matrix } = candidate;
    const compileMs = launches.map(({ ms }) => ms);
    const entry = { error, limit, ok: error < limit, matrix, compileMs };
    if (ROUNDS === 0) return entry;
    const times = await findTimes(launches);
    return { ...entry, ...times, tflops: problem.operations / times.ms / 1e9 };
  } catch (error) {
    return { failure: String(error?.message ?? error).slice(0, 600) };
  } finally {
    for (const buffer of Object.values(own)) buffer.destroy();
  }
}

async function runProblem({ problem, candidates }, pipelines) {
  const values = {};
  const inputs = {};
  for (const [name, spec] of Object.entries(problem.inputs)) {
    const { value, bytes } = makeInput(spec);
    values[name] = { value };
    inputs[name] = makeBuffer(bytes.byteLength);
    device.queue.writeBuffer(inputs[name], 0, bytes);
  }
  const expected = expectSamples(problem, values);
  isWarm = false;
  for (const candidate of candidates) {
    if (Date.now() > deadline) break;
    const key = keyOf(problem, candidate);
    put({ start: key });
    const guard = setTimeout(() => {
      put({ hung: key });
      process.exit(5);
    }, 1000 * CANDIDATE_SECONDS);
    const entry = await runCandidate(problem, candidate, { pipelines, inputs, expected });
    clearTimeout(guard);
    put({ key, ...entry });
  }
  for (const buffer of Object.values(inputs)) buffer.destroy();
}

const queue = [];
for (const problem of problems) {
  const candidates = problem.candidates.filter((candidate) => {
    const key = keyOf(problem, candidate);
    if (!filter.test(key) || earlier.done.has(key)) return false;
    const lacks = findLacks(candidate);
    if (lacks) put({ key, failure: `the device lacks ${lacks}` });
    return !lacks;
  });
  if (candidates.length > 0) queue.push({ problem, candidates });
}
let ahead = queue.length > 0 && compileAll(queue[0]);
for (const [at, entry] of queue.entries()) {
  const pipelines = await ahead;
  if (Date.now() > deadline) break;
  // The next problem's pipelines are compiled while this one's candidates run.
  ahead = at + 1 < queue.length && compileAll(queue[at + 1]);
  await runProblem(entry, pipelines);
}
put({ end: true });
process.exit(0);
