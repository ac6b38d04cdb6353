/**
 * Changes weights on the GPU as LoRAs say.
 *
 * A packed weight is unpacked to float32, changed, and packed again; one layer is unpacked at a time.
 */

import type { Delta, StoredFactor, LowRank, Magnitude, Patch } from "../../adapters/patch";
import type { ParameterRecord } from "../../bundle/manifest";
import { valueCount } from "../../bundle/manifest";
import { UnsupportedError } from "../../util/errors";
import type { Runtime, Tensor } from "../tvm/runtime";
import addKronecker from "./add_kronecker.wgsl";
import addLowRank from "./add_low_rank.wgsl";
import addProduct from "./add_product.wgsl";
import packFloat16 from "./pack_float16.wgsl";
import packInt8 from "./pack_int8.wgsl";
import scaleInt8 from "./scale_int8.wgsl";
import setLengths from "./set_lengths.wgsl";
import unpackInt8 from "./unpack_int8.wgsl";
import widen from "./widen.wgsl";

/** The shaders, each with what it computes at its top. */
const SHADERS = {
  addKronecker,
  addLowRank,
  addProduct,
  packFloat16,
  packInt8,
  scaleInt8,
  setLengths,
  unpackInt8,
  widen,
};

type ShaderName = keyof typeof SHADERS;

const UNPACKERS = {
  float16: ["widen", "packFloat16"],
  int8: ["unpackInt8", "scaleInt8", "packInt8"],
  float32: [],
} as const;
const ADDERS = {
  "low-rank": ["widen", "addLowRank"],
  product: ["widen", "addProduct"],
  kronecker: ["addKronecker"],
} as const;
/** How widen.wgsl knows the types of values. */
const WIDENED = { F32: 32, F16: 16, BF16: 15 } as const;

/** Threads of a workgroup where a thread computes one value or one word. */
const THREADS = 256;
/** Columns and rows that a workgroup of the low-rank shaders computes. */
const [TILE_COLUMNS, TILE_ROWS] = [64, 8];
/** WebGPU's smallest `maxComputeWorkgroupsPerDimension`. */
const MOST_GROUPS = 65_535;
/** After so many bytes of temporary buffers the GPU must have done with those before, which are freed. */
const BYTES_IN_FLIGHT = 2 ** 25;

/** A parameter on the GPU. */
export interface StoredWeight {
  record: ParameterRecord;
  tensor: Tensor;
  /** The scales of an int8 weight's rows. */
  scales: Tensor | undefined;
}

/** The matrix that a weight is: (rows, positions, inputs) row-major. */
interface MatrixShape {
  count: number;
  rows: number;
  positions: number;
  inputs: number;
}

function matrixOf({ shape }: ParameterRecord): MatrixShape {
  const count = valueCount(shape);
  if (shape.length < 2) return { count, rows: count, positions: 1, inputs: 1 };
  const [rows, inputs] = [shape[0]!, shape.at(-1)!];
  return { count, rows, positions: count / (rows * inputs), inputs };
}

/** Runs the shaders that change weights; compiles each when it is needed first. */
export class WeightPatcher {
  private readonly pipelines = new Map<ShaderName, Promise<GPUComputePipeline>>();
  /** Bytes of buffers that were made since {@link WeightPatcher.earlier}. */
  private inFlight = 0;
  /** Settles when the GPU has done what was recorded before: it works on while more is recorded. */
  private earlier: Promise<void> = Promise.resolve();

  constructor(private readonly runtime: Runtime) {}

  /**
   * Change a weight, which must hold what the bundle has for it.
   *
   * @param patches the changes, in their order.
   * @throws UnsupportedError if the GPU has no buffer for the weight as float32.
   */
  async patch(weight: StoredWeight, patches: readonly Patch[]): Promise<void> {
    const { dtype } = weight.record;
    const names = new Set<ShaderName>([
      ...UNPACKERS[dtype],
      ...patches.flatMap(({ delta }) => ADDERS[delta.kind]),
      ...(patches.some(({ magnitude }) => magnitude !== undefined)
        ? (["setLengths"] as const)
        : []),
    ]);
    const compiled = await this.compile(names);
    this.runtime.scope(() => {
      new LayerRecorder(this.runtime, compiled, weight).record(patches);
      return undefined;
    });
    this.inFlight += 4 * valueCount(weight.record.shape);
    if (this.inFlight < BYTES_IN_FLIGHT) return;
    this.inFlight = 0;
    const { earlier } = this;
    this.earlier = this.runtime.sync();
    // If a change fails before anybody waits for it, that is told, and not this.
    this.earlier.catch(() => undefined);
    await earlier;
  }

  /** Wait until the GPU has made all changes. */
  async finish(): Promise<void> {
    this.inFlight = 0;
    this.earlier = Promise.resolve();
    await this.runtime.sync();
  }

  private async compile(names: Iterable<ShaderName>): Promise<Compiled> {
    const pairs = [...names].map(async (name) => [name, await this.pipeline(name)] as const);
    return new Map(await Promise.all(pairs));
  }

  private pipeline(name: ShaderName): Promise<GPUComputePipeline> {
    const known = this.pipelines.get(name);
    if (known !== undefined) return known;
    const { device } = this.runtime.context;
    const module = device.createShaderModule({ code: SHADERS[name] });
    const made = device.createComputePipelineAsync({
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    this.pipelines.set(name, made);
    // One that failed, as without memory, is compiled again next time.
    made.catch(() => this.pipelines.delete(name));
    return made;
  }
}

type Compiled = ReadonlyMap<ShaderName, GPUComputePipeline>;

/** Records the commands that change one weight. Used within a scope, which frees its buffers. */
class LayerRecorder {
  private readonly shape: MatrixShape;

  constructor(
    private readonly runtime: Runtime,
    private readonly compiled: Compiled,
    private readonly weight: StoredWeight,
  ) {
    this.shape = matrixOf(weight.record);
  }

  record(patches: readonly Patch[]): void {
    const values = this.unpack();
    for (const { delta, factor, magnitude, rest } of patches) {
      this.add(values, delta, factor);
      if (magnitude !== undefined) this.setLengths(values, magnitude);
      if (rest !== 0) this.add(values, delta, rest);
    }
    this.pack(values);
    // Before the scope ends and tvmjs destroys the buffers that these commands use.
    this.runtime.context.flush();
  }

  /** The weight as float32: itself, or a copy. */
  private unpack(): Tensor {
    const { record, tensor, scales } = this.weight;
    if (record.dtype === "float32") return tensor;
    const { count } = this.shape;
    const { maxStorageBufferBindingSize: most } = this.runtime.context.device.limits;
    if (4 * count > most) {
      throw new UnsupportedError(
        `the GPU has no buffer for ${record.name} as float32: it takes ${4 * count} bytes, of ${most}`,
        "draw without the LoRA, or choose a LoRA that does not change this layer",
      );
    }
    const values = this.runtime.empty([count], "float32");
    if (record.dtype === "float16") {
      this.run("widen", [count, count, 1, count, WIDENED.F16], [tensor, values], spread(count));
    } else {
      this.run("unpackInt8", [count, this.columns], [tensor, scales!, values], spread(count / 4));
    }
    return values;
  }

  private pack(values: Tensor): void {
    const { record, tensor, scales } = this.weight;
    const { count, rows } = this.shape;
    if (record.dtype === "float16") {
      this.run("packFloat16", [count], [tensor, values], spread(count / 2));
    } else if (record.dtype === "int8") {
      this.run("scaleInt8", [this.columns], [values, scales!], [rows, 1]);
      this.run("packInt8", [count, this.columns], [tensor, scales!, values], spread(count / 4));
    }
  }

  private add(values: Tensor, delta: Delta, factor: number): void {
    const { count, rows, positions, inputs } = this.shape;
    const { columns } = this;
    if (delta.kind === "kronecker") {
      const [c, , d] = delta.rightShape;
      const numbers = [count, positions, inputs, bitsOf(factor), c, d];
      const factors = [this.upload(delta.left), this.upload(delta.right)];
      this.run("addKronecker", numbers, [values, ...factors], spread(count));
      return;
    }
    const grid = [Math.ceil(columns / TILE_COLUMNS), Math.ceil(rows / TILE_ROWS)] as const;
    if (delta.kind === "low-rank") {
      const numbers = [rows, columns, delta.factors.rank, bitsOf(factor)];
      this.run("addLowRank", numbers, [values, ...this.widenFactors(delta.factors)], grid);
    } else {
      const { first, second } = delta;
      const numbers = [rows, columns, first.rank, bitsOf(factor), second.rank];
      const factors = [...this.widenFactors(first), ...this.widenFactors(second)];
      this.run("addProduct", numbers, [values, ...factors], grid);
    }
  }

  private setLengths(values: Tensor, { values: lengths, axis, blend, epsilon }: Magnitude): void {
    const { count, inputs, rows } = this.shape;
    const [lines, steps] =
      axis === "out"
        ? [rows, [this.columns, 1, this.columns]]
        : [inputs, [1, inputs, count / inputs]];
    const numbers = [...steps, bitsOf(blend), bitsOf(epsilon)];
    this.run("setLengths", numbers, [values, this.upload(lengths)], [lines, 1]);
  }

  private get columns(): number {
    return this.shape.positions * this.shape.inputs;
  }

  /** The factors as the shaders take them: `up` transposed, its rows padded to whole tiles. */
  private widenFactors({ up, down }: LowRank): [Tensor, Tensor] {
    const { rows } = this.shape;
    const padded = TILE_ROWS * Math.ceil(rows / TILE_ROWS);
    return [this.widen(up, padded), this.widen(down, down.axes[1])];
  }

  private widen({ type, words, axes }: StoredFactor, padded: number): Tensor {
    const [count, length, steps] = axes;
    const size = count * steps * padded;
    this.requireBuffer(4 * size);
    const given = this.runtime.tensor(new Int32Array(words.buffer), [words.length]);
    const values = this.runtime.empty([size], "float32");
    const numbers = [size, length, steps, padded, WIDENED[type]];
    this.run("widen", numbers, [given, values], spread(size));
    return values;
  }

  private upload(values: Float32Array): Tensor {
    this.requireBuffer(values.byteLength);
    return this.runtime.tensor(values, [values.length]);
  }

  private requireBuffer(bytes: number): void {
    const { maxStorageBufferBindingSize: most } = this.runtime.context.device.limits;
    if (bytes <= most) return;
    throw new UnsupportedError(
      `the GPU has no buffer for a factor of ${this.weight.record.name}: it takes ${bytes} bytes, ` +
        `of ${most}`,
      "draw without the LoRA, or choose one of a smaller rank",
    );
  }

  private run(
    name: ShaderName,
    numbers: readonly number[],
    tensors: readonly Tensor[],
    [x, y]: readonly [number, number],
  ): void {
    const { runtime } = this;
    const parameters = runtime.tensor(Int32Array.from(numbers), [numbers.length]);
    const pipeline = this.compiled.get(name)!;
    const group = runtime.context.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [parameters, ...tensors].map((tensor, binding) => {
        return { binding, resource: { buffer: runtime.bufferOf(tensor) } };
      }),
    });
    runtime.context.record((pass) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(x, y);
    });
  }
}

/** The grid of so many threads, or a few more. */
function spread(threads: number): readonly [number, number] {
  const groups = Math.max(1, Math.ceil(threads / THREADS));
  const x = Math.min(groups, MOST_GROUPS);
  return [x, Math.ceil(groups / x)];
}

/** The bits of a float32, as a shader gets it among whole numbers. */
function bitsOf(value: number): number {
  return new Int32Array(Float32Array.of(value).buffer)[0]!;
}
