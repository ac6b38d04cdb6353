/**
 * Changes weights on the GPU as LoRAs say.
 *
 * A packed weight is unpacked to float32, changed, and packed again; one layer is unpacked at a time.
 */

import type { Delta, StoredFactor, LowRank, Magnitude, Patch } from "../../adapters/patch";
import type { ParameterRecord } from "../../bundle/manifest";
import { valueCount } from "../../bundle/manifest";
import { INT4_GROUP } from "../../util/constants.generated";
import { UnsupportedError } from "../../util/errors";
import type { Staging } from "../staging";
import type { Runtime } from "../tvm/runtime";
import addKronecker from "./add_kronecker.wgsl";
import addLowRank from "./add_low_rank.wgsl";
import addProduct from "./add_product.wgsl";
import float16 from "./float16.wgsl";
import packFloat16 from "./pack_float16.wgsl";
import packInt4 from "./pack_int4.wgsl";
import packInt8 from "./pack_int8.wgsl";
import scaleInt8 from "./scale_int8.wgsl";
import setLengths from "./set_lengths.wgsl";
import unpackInt4 from "./unpack_int4.wgsl";
import unpackInt8 from "./unpack_int8.wgsl";
import widen from "./widen.wgsl";

/** The shaders, each with what it computes at its top. */
const SHADERS = {
  addKronecker,
  addLowRank,
  addProduct,
  packFloat16,
  packInt4,
  packInt8,
  scaleInt8,
  setLengths,
  unpackInt4,
  unpackInt8,
  widen,
};

type ShaderName = keyof typeof SHADERS;

const UNPACKERS = {
  float16: ["widen", "packFloat16"],
  int8: ["unpackInt8", "scaleInt8", "packInt8"],
  int4: ["unpackInt4", "packInt4"],
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
/** Threads of a workgroup of pack_int4.wgsl; each packs two groups. */
const GROUP_THREADS = 64;
/** Columns and rows that a workgroup of the low-rank shaders computes. */
const [TILE_COLUMNS, TILE_ROWS] = [64, 8];
/** WebGPU's smallest `maxComputeWorkgroupsPerDimension`. */
const MOST_GROUPS = 65_535;
/** The number of the temporary buffer with a packed weight's values; those of factors follow. */
const VALUES = 0;
/** Bytes that the numbers of a dispatch take at most. */
const NUMBERS_BYTES = 64;

/** A parameter on the GPU. */
export interface StoredWeight {
  record: ParameterRecord;
  buffer: GPUBuffer;
  /** The scales of an int8 weight's rows, or of an int4 weight's groups. */
  scales: GPUBuffer | undefined;
}

/** A compiled shader. */
interface Compiled {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
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
  private readonly compiled = new Map<ShaderName, Compiled>();

  constructor(private readonly runtime: Runtime) {}

  /**
   * Change a weight, which must hold what the bundle has for it once the GPU is there.
   *
   * @param patches the changes, in their order.
   * @param staging where the commands are recorded.
   * @throws UnsupportedError if the GPU has no buffer for the weight as float32.
   */
  async patch(weight: StoredWeight, patches: readonly Patch[], staging: Staging): Promise<void> {
    await this.compile([
      ...UNPACKERS[weight.record.dtype],
      ...patches.flatMap(({ delta }) => ADDERS[delta.kind]),
      ...(patches.some(({ magnitude }) => magnitude !== undefined)
        ? (["setLengths"] as const)
        : []),
    ]);
    await new LayerRecorder(this.runtime.context.device, this.compiled, weight, staging).record(
      patches,
    );
  }

  private async compile(names: readonly ShaderName[]): Promise<void> {
    const { device } = this.runtime.context;
    const missing = [...new Set(names)].filter((name) => !this.compiled.has(name));
    if (missing.length === 0) return;
    await Promise.all(
      missing.map(async (name) => {
        const module = device.createShaderModule({ code: float16 + SHADERS[name] });
        const compute = { module, entryPoint: "main" };
        const pipeline = await device.createComputePipelineAsync({
          layout: "auto",
          compute,
        });
        this.compiled.set(name, {
          pipeline,
          layout: pipeline.getBindGroupLayout(0),
        });
      }),
    );
  }
}

/** A factor as the shaders take it: its buffers, in the order of their bindings. */
type Operands = readonly GPUBindingResource[];

/** Records the commands that change one weight. */
class LayerRecorder {
  private readonly shape: MatrixShape;

  constructor(
    private readonly device: GPUDevice,
    private readonly compiled: ReadonlyMap<ShaderName, Compiled>,
    private readonly weight: StoredWeight,
    private readonly staging: Staging,
  ) {
    this.shape = matrixOf(weight.record);
  }

  async record(patches: readonly Patch[]): Promise<void> {
    const values = await this.unpack();
    for (const { delta, factor, magnitude, rest } of patches) {
      await this.add(values, delta, factor);
      if (magnitude !== undefined) await this.setLengths(values, magnitude);
      if (rest !== 0) await this.add(values, delta, rest);
    }
    await this.pack(values);
  }

  /** The weight as float32: itself, or a copy. */
  private async unpack(): Promise<GPUBindingResource> {
    const { record, buffer: stored, scales } = this.weight;
    if (record.dtype === "float32") return { buffer: stored };
    const { count } = this.shape;
    const { maxStorageBufferBindingSize: most } = this.device.limits;
    if (4 * count > most) {
      throw new UnsupportedError(
        `the GPU has no buffer for ${record.name} as float32: it takes ${4 * count} bytes, of ${most}`,
        "draw without the LoRA, or choose a LoRA that does not change this layer",
      );
    }
    const values = this.temporary(VALUES, 4 * count);
    await this.reserve();
    if (record.dtype === "float16") {
      const operands = [{ buffer: stored }, values];
      this.run("widen", [count, count, 1, count, WIDENED.F16], operands, spread(count));
    } else if (record.dtype === "int4") {
      const operands = [{ buffer: stored }, { buffer: scales! }, values];
      this.run("unpackInt4", [count], operands, spread(count / 8));
    } else {
      const operands = [{ buffer: stored }, { buffer: scales! }, values];
      this.run("unpackInt8", [count, this.columns], operands, spread(count / 4));
    }
    return values;
  }

  private async pack(values: GPUBindingResource): Promise<void> {
    const { record, buffer: stored, scales } = this.weight;
    const { count, rows } = this.shape;
    if (record.dtype === "float32") return;
    await this.reserve();
    if (record.dtype === "float16") {
      this.run("packFloat16", [count], [{ buffer: stored }, values], spread(count / 2));
      return;
    }
    const found = { buffer: scales! };
    if (record.dtype === "int4") {
      const groups = count / INT4_GROUP;
      const operands = [{ buffer: stored }, found, values];
      this.run("packInt4", [groups], operands, spread(groups / 2, GROUP_THREADS));
      return;
    }
    this.run("scaleInt8", [this.columns], [values, found], [rows, 1]);
    const operands = [{ buffer: stored }, found, values];
    this.run("packInt8", [count, this.columns], operands, spread(count / 4));
  }

  private async add(values: GPUBindingResource, delta: Delta, factor: number): Promise<void> {
    const { count, rows, positions, inputs } = this.shape;
    const { columns } = this;
    if (delta.kind === "kronecker") {
      const [c, , d] = delta.rightShape;
      const numbers = [count, positions, inputs, bitsOf(factor), c, d];
      const factors = [bytesOf(delta.left), bytesOf(delta.right)];
      await this.reserve(...factors);
      const operands = factors.map((bytes) => this.staging.put(bytes));
      this.run("addKronecker", numbers, [values, ...operands], spread(count));
      return;
    }
    const grid = [Math.ceil(columns / TILE_COLUMNS), Math.ceil(rows / TILE_ROWS)] as const;
    if (delta.kind === "low-rank") {
      const numbers = [rows, columns, delta.factors.rank, bitsOf(factor)];
      const factors = await this.widenFactors([delta.factors]);
      await this.reserve();
      this.run("addLowRank", numbers, [values, ...factors], grid);
    } else {
      const { first, second } = delta;
      const numbers = [rows, columns, first.rank, bitsOf(factor), second.rank];
      const factors = await this.widenFactors([first, second]);
      await this.reserve();
      this.run("addProduct", numbers, [values, ...factors], grid);
    }
  }

  private async setLengths(
    values: GPUBindingResource,
    { values: lengths, axis, blend, epsilon }: Magnitude,
  ): Promise<void> {
    const { count, inputs, rows } = this.shape;
    const [lines, steps] =
      axis === "out"
        ? [rows, [this.columns, 1, this.columns]]
        : [inputs, [1, inputs, count / inputs]];
    const numbers = [...steps, bitsOf(blend), bitsOf(epsilon)];
    await this.reserve(bytesOf(lengths));
    this.run("setLengths", numbers, [values, this.staging.put(bytesOf(lengths))], [lines, 1]);
  }

  private get columns(): number {
    return this.shape.positions * this.shape.inputs;
  }

  /** The factors as the shaders take them: `up` transposed, its rows padded to whole tiles. */
  private async widenFactors(factors: readonly LowRank[]): Promise<Operands> {
    const padded = TILE_ROWS * Math.ceil(this.shape.rows / TILE_ROWS);
    const stored = factors.flatMap(({ up, down }) => [
      { factor: up, padded },
      { factor: down, padded: down.axes[1] },
    ]);
    const widened: GPUBindingResource[] = [];
    for (const [index, each] of stored.entries()) {
      widened.push(await this.widen(each.factor, each.padded, VALUES + 1 + index));
    }
    return widened;
  }

  private async widen(
    { type, bytes, axes }: StoredFactor,
    padded: number,
    number: number,
  ): Promise<GPUBindingResource> {
    const [count, length, steps] = axes;
    const size = count * steps * padded;
    this.requireBuffer(4 * size);
    const values = this.temporary(number, 4 * size);
    await this.reserve(bytes);
    const numbers = [size, length, steps, padded, WIDENED[type]];
    this.run("widen", numbers, [this.staging.put(bytes), values], spread(size));
    return values;
  }

  private temporary(number: number, bytes: number): GPUBindingResource {
    return {
      buffer: this.staging.temporary(number, bytes),
      offset: 0,
      size: bytes,
    };
  }

  /** Have room for factors, and for the numbers of the two dispatches that follow at most. */
  private async reserve(...factors: Uint8Array[]): Promise<void> {
    for (const { length } of factors) this.requireBuffer(length);
    const lengths = factors.map(({ length }) => length);
    await this.staging.reserve(...lengths, NUMBERS_BYTES, NUMBERS_BYTES);
  }

  private requireBuffer(bytes: number): void {
    const { maxStorageBufferBindingSize: most } = this.device.limits;
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
    operands: Operands,
    grid: readonly [number, number],
  ): void {
    const { pipeline, layout } = this.compiled.get(name)!;
    const parameters = this.staging.put(bytesOf(Int32Array.from(numbers)));
    const group = this.device.createBindGroup({
      layout,
      entries: [parameters, ...operands].map((resource, binding) => ({
        binding,
        resource,
      })),
    });
    this.staging.dispatch(pipeline, group, grid);
  }
}

function bytesOf(values: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** The grid of so many threads, or a few more. */
function spread(threads: number, ofGroup = THREADS): readonly [number, number] {
  const groups = Math.max(1, Math.ceil(threads / ofGroup));
  const x = Math.min(groups, MOST_GROUPS);
  return [x, Math.ceil(groups / x)];
}

/** The bits of a float32, as a shader gets it among whole numbers. */
function bitsOf(value: number): number {
  return new Int32Array(Float32Array.of(value).buffer)[0]!;
}
