/** Makes the change of one weight from the tensors that a file has for it. */

import type { ParameterRecord } from "../bundle/manifest";
import { LoraError } from "../util/errors";
import { contractCore, multiply, swapAxes, transpose } from "./arithmetic";
import type { Delta, LowRank, Magnitude, Patch, PatchMaker, StoredFactor } from "./patch";
import { ALL_ROWS, rowsOfFile, takeRows } from "./rows";
import type { RowOrder } from "./rows";
import { factorOf } from "./safetensors";
import type { FileTensor } from "./safetensors";
import type { Part } from "./tensor_keys";

/** What LyCORIS adds to a length before it divides by it: float32's epsilon. */
const EPSILON = 2 ** -23;

/** Tensors of LyCORIS' kinds of change. */
const LOHA: readonly Part[] = [
  ...(["hada_w1_a", "hada_w1_b", "hada_t1"] as const),
  ...(["hada_w2_a", "hada_w2_b", "hada_t2"] as const),
];
const LOKR: readonly Part[] = [
  ...(["lokr_w1", "lokr_w1_a", "lokr_w1_b"] as const),
  ...(["lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"] as const),
];

/** The tensors of a layer by what they are. */
export type Parts = Partial<Record<Part, FileTensor>>;

/** How a layer's factor follows from its alpha where the file's metadata says so (PEFT). */
export interface AlphaRule {
  /** Undefined where it is the rank. */
  alpha?: number | undefined;
  /** Whether alpha is divided by the root of the rank, rank-stabilised LoRA. */
  rootOfRank?: boolean | undefined;
}

/** The weight in matrix form: stored row-major as (rows, positions, inputs). */
interface WeightShape {
  rows: number;
  /** Height times width of a convolution's kernel, 1 for a linear layer. */
  positions: number;
  inputs: number;
  /** Height and width of the kernel; empty for a linear layer. */
  kernel: readonly number[];
}

/** Says what is wrong with a layer; the reader of the file adds the file's name and the layer's. */
export class LayerProblem extends Error {}

function fail(problem: string): never {
  throw new LayerProblem(problem);
}

/** Return the shape of a file's weight, of which the model's may be some rows. */
function shapeOf({ shape }: ParameterRecord, order: RowOrder): WeightShape {
  const rows = rowsOfFile(shape[0]!, order);
  if (shape.length === 4) {
    const [, height, width, inputs] = shape as [number, number, number, number];
    return { rows, positions: height * width, inputs, kernel: [height, width] };
  }
  if (shape.length !== 2)
    fail(`the model has no matrix there, but values of the shape ${list(shape)}`);
  const inputs = shape[1]!;
  return { rows, positions: 1, inputs, kernel: [] };
}

function list(shape: readonly number[]): string {
  return `(${shape.join(", ")})`;
}

/**
 * Check the tensors of a layer, and return what makes its change from the scale of the whole LoRA.
 * No values are read before it makes one.
 *
 * @param order which rows of the file's layer are the weight.
 * @throws LayerProblem if the tensors do not belong together, or do not fit the weight.
 */
export function makePatch(
  parts: Parts,
  weight: ParameterRecord,
  rule: AlphaRule,
  order: RowOrder = ALL_ROWS,
): PatchMaker {
  if (weight.shape.length === 1 && parts.diff !== undefined) {
    refuseOthers(parts, ["diff", "alpha"]);
    return makeVectorPatch(parts.diff, "diff", weight, order);
  }
  const shape = shapeOf(weight, order);
  const { make, rank } = chooseKind(parts, shape);
  const decompose = checkMagnitude(parts, shape, order);
  const alpha = parts.alpha === undefined ? rule.alpha : singleValue(parts.alpha);
  // An alpha of the file's own is divided by the rank, also in LyCORIS' rank-stabilised files: their
  // alpha is written so that this gives their scale.
  const divisor = rule.rootOfRank === true && parts.alpha === undefined ? Math.sqrt(rank) : rank;
  // A rank of 0 stands for tensors that have none: whole matrices take no alpha.
  const ratio = rank === 0 ? ([1, 1] as const) : ([alpha ?? rank, divisor] as const);
  const factors = (scale: number): Pick<Patch, "factor" | "rest"> => {
    // In LyCORIS' form of DoRA a scale is the share of the whole change.
    const [used, rest] = decompose?.isShare === true ? [1, scale - 1] : [scale, 0];
    return {
      factor: finite((used * ratio[0]) / ratio[1]),
      rest: finite((rest * ratio[0]) / ratio[1]),
    };
  };
  const whole: PatchMaker = {
    check: (scale) => void factors(scale),
    make: (scale) => {
      return { delta: make(), ...factors(scale), magnitude: decompose?.make(scale) };
    },
  };
  return takeRows(whole, shape.rows, order);
}

/** @throws LoraError if a factor is beyond float32, which it is rounded to. */
function finite(factor: number): number {
  const rounded = Math.fround(factor);
  if (Number.isFinite(rounded)) return rounded;
  throw new LoraError(
    `a LoRA's scale and alpha make the factor ${factor}, which is beyond float32`,
    "take a smaller scale, or another LoRA",
  );
}

/** Return what makes the change of a bias or of a norm's weight, which is given as a whole. */
export function makeVectorPatch(
  diff: FileTensor,
  part: Part,
  vector: ParameterRecord,
  order: RowOrder = ALL_ROWS,
): PatchMaker {
  const own = vector.shape.reduce((product, edge) => product * edge, 1);
  const count = rowsOfFile(own, order);
  if (diff.count !== count) fail(`${part} has ${diff.count} values, and the model has ${count}`);
  const all: PatchMaker = {
    check: (scale) => void finite(scale),
    make: (scale) => {
      return { delta: whole(diff.values(), [count, 1, 1]), factor: finite(scale), rest: 0 };
    },
  };
  return takeRows(all, count, order);
}

/** A kind of change: what makes it, and its rank; 0 for tensors without factors. */
interface Kind {
  make: () => Delta;
  rank: number;
}

function chooseKind(parts: Parts, shape: WeightShape): Kind {
  const has = (start: string): boolean => Object.keys(parts).some((part) => part.startsWith(start));
  const kinds = [
    ...((parts.up ?? parts.down ?? parts.mid) ? [readLora] : []),
    ...(has("hada_") ? [readLoha] : []),
    ...(has("lokr_") ? [readLokr] : []),
    ...(parts.diff ? [readDiff] : []),
  ];
  const [read, second] = kinds;
  if (read === undefined) fail(`it has ${Object.keys(parts).join(", ")} and nothing to add`);
  if (second !== undefined)
    fail(`it has tensors of several kinds: ${Object.keys(parts).join(", ")}`);
  return read(parts, shape);
}

/** @throws LayerProblem if there is a tensor that the kind of change has no use for. */
function refuseOthers(parts: Parts, known: readonly Part[]): void {
  const others = Object.keys(parts).filter((part) => !known.includes(part as Part));
  if (others.length > 0) fail(`it has ${others.join(", ")} beside ${known.join(", ")}`);
}

/** @throws LayerProblem unless a tensor is there. */
function need(parts: Parts, part: Part): FileTensor {
  return parts[part] ?? fail(`${part} is missing`);
}

/** @throws LayerProblem unless a tensor has this shape; axes of the length 1 at its end do not count. */
function requireShape(tensor: FileTensor, part: Part, wanted: readonly number[]): void {
  const { shape } = tensor;
  const more = shape.slice(wanted.length);
  const fits =
    wanted.every((edge, axis) => (shape[axis] ?? 1) === edge) && more.every((edge) => edge === 1);
  if (!fits || shape.length < Math.min(2, wanted.length)) {
    fail(`${part} has the shape ${list(shape)}, the model needs ${list(wanted)}`);
  }
}

/**
 * The same for a factor that has the kernel of a convolution: as axes of its own, or as one axis
 * together with the input channels.
 */
function requireKernels(
  tensor: FileTensor,
  part: Part,
  [rows, inputs, ...kernel]: readonly [number, number, ...number[]],
): void {
  const columns = kernel.reduce((product, edge) => product * edge, inputs);
  const { shape } = tensor;
  if (shape.length === 2 && shape[0] === rows && shape[1] === columns) return;
  requireShape(tensor, part, [rows, inputs, ...kernel]);
}

function rankOf(tensor: FileTensor, part: Part, axis: 0 | 1): number {
  const rank = tensor.shape[axis];
  if (rank === undefined || rank === 0)
    fail(`${part} has the shape ${list(tensor.shape)} and no rank`);
  return rank;
}

/** LoRA, and LoCon's convolutions; with `mid` the input factor is a Tucker decomposition. */
function readLora(parts: Parts, { rows, positions, inputs, kernel }: WeightShape): Kind {
  refuseOthers(parts, ["up", "down", "mid", "alpha", "dora_scale", "magnitude"]);
  const [up, down] = [need(parts, "up"), need(parts, "down")];
  const { mid } = parts;
  const rank = rankOf(down, "down", 0);
  requireShape(up, "up", [rows, rank]);
  if (mid === undefined) requireKernels(down, "down", [rank, inputs, ...kernel]);
  else {
    requireShape(down, "down", [rank, inputs]);
    requireShape(mid, "mid", [rank, rank, ...kernel]);
  }
  const make = (): Delta => {
    const factor =
      mid === undefined
        ? down.factor([rank, inputs, positions])
        : contracted(mid, down, [rank, inputs, positions]);
    return { kind: "low-rank", factors: { rank, up: up.factor([1, rows, rank]), down: factor } };
  };
  return { make, rank };
}

/** LoHa: the product of two low-rank matrices, value by value. Hyeon-Woo et al. 2022. */
function readLoha(parts: Parts, shape: WeightShape): Kind {
  refuseOthers(parts, [...LOHA, "alpha", "dora_scale"]);
  if ((parts.hada_t1 === undefined) !== (parts.hada_t2 === undefined)) {
    fail("it has one of hada_t1 and hada_t2 without the other");
  }
  const { make: first, rank } = readHalf(parts, shape, "hada_w1_a", "hada_w1_b", "hada_t1");
  const { make: second } = readHalf(parts, shape, "hada_w2_a", "hada_w2_b", "hada_t2");
  return { make: () => ({ kind: "product", first: first(), second: second() }), rank };
}

function readHalf(
  parts: Parts,
  { rows, positions, inputs, kernel }: WeightShape,
  upPart: Part,
  downPart: Part,
  corePart: Part,
): { make: () => LowRank; rank: number } {
  const [up, down] = [need(parts, upPart), need(parts, downPart)];
  const core = parts[corePart];
  const rank = rankOf(down, downPart, 0);
  if (core === undefined) {
    requireShape(up, upPart, [rows, rank]);
    requireKernels(down, downPart, [rank, inputs, ...kernel]);
  } else {
    requireShape(up, upPart, [rank, rows]);
    requireShape(down, downPart, [rank, inputs]);
    requireShape(core, corePart, [rank, rank, ...kernel]);
  }
  const make = (): LowRank =>
    core === undefined
      ? { rank, up: up.factor([1, rows, rank]), down: down.factor([rank, inputs, positions]) }
      : {
          rank,
          // The file has it as the GPU takes it, (rank, rows).
          up: up.factor([rank, rows, 1]),
          down: contracted(core, down, [rank, inputs, positions]),
        };
  return { make, rank };
}

/** Return the input factor of a Tucker decomposition, multiplied with its core. */
function contracted(
  core: FileTensor,
  down: FileTensor,
  [rank, inputs, positions]: readonly [number, number, number],
): StoredFactor {
  const values = contractCore(core.values(), down.values(), [rank, rank, positions], inputs);
  return factorOf(values, [rank, positions * inputs, 1]);
}

/** LoKr: a Kronecker product, of which each factor may be a product itself. Yeh et al. 2024. */
function readLokr(parts: Parts, { rows, positions, inputs, kernel }: WeightShape): Kind {
  refuseOthers(parts, [...LOKR, "alpha", "dora_scale"]);
  const { lokr_t2: core, lokr_w2: single } = parts;
  if (core !== undefined && (kernel.length === 0 || single !== undefined)) {
    fail("it has lokr_t2, which only a convolution with two factors has a use for");
  }
  const left = readMatrix(parts, "lokr_w1", "lokr_w1_a", "lokr_w1_b");
  const right = readRight(parts, positions, kernel);
  if (left.rows * right.rows !== rows || left.columns * right.columns !== inputs) {
    fail(
      `its factors (${left.rows}, ${left.columns}) and (${right.rows}, ${right.columns}) ` +
        `do not make the model's (${rows}, ${inputs})`,
    );
  }
  const make = (): Delta => ({
    kind: "kronecker",
    left: left.make(),
    leftColumns: left.columns,
    right: right.make(),
    rightShape: [right.rows, positions, right.columns],
  });
  // LyCORIS divides alpha by the rank only where one of the factors has one.
  return { make, rank: right.rank || left.rank };
}

interface Factor {
  rows: number;
  columns: number;
  /** 0 if it is whole. */
  rank: number;
  make: () => Float32Array<ArrayBuffer>;
}

function readMatrix(parts: Parts, wholePart: Part, upPart: Part, downPart: Part): Factor {
  const single = parts[wholePart];
  if (single !== undefined) {
    if (parts[upPart] !== undefined || parts[downPart] !== undefined) {
      fail(`it has ${wholePart} both whole and as factors`);
    }
    const [rows = 0, columns = 0] = single.shape;
    requireShape(single, wholePart, [rows, columns]);
    return { rows, columns, rank: 0, make: () => single.values() };
  }
  const [up, down] = [need(parts, upPart), need(parts, downPart)];
  const rank = rankOf(down, downPart, 0);
  const [rows, columns] = [up.shape[0] ?? 0, down.shape[1] ?? 0];
  requireShape(up, upPart, [rows, rank]);
  requireShape(down, downPart, [rank, columns]);
  const make = (): Float32Array<ArrayBuffer> =>
    multiply(up.values(), down.values(), rows, rank, columns);
  return { rows, columns, rank, make };
}

/** The right factor, which has the kernel of a convolution: (rows, columns, height, width). */
function readRight(parts: Parts, positions: number, kernel: readonly number[]): Factor {
  const single = parts.lokr_w2;
  if (kernel.length === 0) return readMatrix(parts, "lokr_w2", "lokr_w2_a", "lokr_w2_b");
  if (single !== undefined) {
    if (parts.lokr_w2_a !== undefined || parts.lokr_w2_b !== undefined) {
      fail("it has lokr_w2 both whole and as factors");
    }
    const rows = single.shape[0] ?? 0;
    const columns = countInputs(single, "lokr_w2", rows, kernel);
    const make = (): Float32Array<ArrayBuffer> =>
      swapAxes(single.values(), [rows, columns, positions]);
    return { rows, columns, rank: 0, make };
  }
  const [up, down] = [need(parts, "lokr_w2_a"), need(parts, "lokr_w2_b")];
  const core = parts.lokr_t2;
  const rank = rankOf(down, "lokr_w2_b", 0);
  if (core !== undefined) {
    const columns = down.shape[1] ?? 0;
    const rows = up.shape[1] ?? 0;
    requireShape(up, "lokr_w2_a", [rank, rows]);
    requireShape(down, "lokr_w2_b", [rank, columns]);
    requireShape(core, "lokr_t2", [rank, rank, ...kernel]);
    const make = (): Float32Array<ArrayBuffer> => {
      const inner = contractCore(core.values(), down.values(), [rank, rank, positions], columns);
      return multiply(transpose(up.values(), rank, rows), inner, rows, rank, positions * columns);
    };
    return { rows, columns, rank, make };
  }
  const rows = up.shape[0] ?? 0;
  requireShape(up, "lokr_w2_a", [rows, rank]);
  const columns = countInputs(down, "lokr_w2_b", rank, kernel);
  const make = (): Float32Array<ArrayBuffer> => {
    const inner = swapAxes(down.values(), [rank, columns, positions]);
    return multiply(up.values(), inner, rows, rank, positions * columns);
  };
  return { rows, columns, rank, make };
}

/** How many input channels a factor with the kernel of a convolution has. */
function countInputs(
  tensor: FileTensor,
  part: Part,
  rows: number,
  kernel: readonly number[],
): number {
  const inputs = tensor.count / kernel.reduce((product, edge) => product * edge, rows);
  requireKernels(tensor, part, [rows, inputs, ...kernel]);
  return inputs;
}

/** A difference that is given as a whole. */
function readDiff(parts: Parts, { rows, positions, inputs, kernel }: WeightShape): Kind {
  // LyCORIS writes an alpha beside it, which it does not read.
  refuseOthers(parts, ["diff", "alpha"]);
  const diff = need(parts, "diff");
  requireShape(diff, "diff", [rows, inputs, ...kernel]);
  const make = (): Delta =>
    whole(swapAxes(diff.values(), [rows, inputs, positions]), [rows, positions, inputs]);
  return { make, rank: 0 };
}

function whole(
  right: Float32Array<ArrayBuffer>,
  rightShape: readonly [number, number, number],
): Delta {
  return { kind: "kronecker", left: Float32Array.of(1), leftColumns: 1, right, rightShape };
}

/**
 * DoRA's lengths, Liu et al. 2024: PEFT has one for each output channel, LyCORIS also for each input
 * channel. The scale of the whole LoRA is a factor of the difference in PEFT; of LyCORIS' form it is the
 * share of the whole change, as ComfyUI and AUTOMATIC1111's web UI compute it.
 */
function checkMagnitude(
  parts: Parts,
  { rows, inputs }: WeightShape,
  { pieces, order }: RowOrder,
): { make: (scale: number) => Magnitude; isShare: boolean } | undefined {
  const { magnitude: ofPeft, dora_scale: ofLycoris } = parts;
  if (ofPeft !== undefined && ofLycoris !== undefined) fail("it has the lengths of DoRA twice");
  const tensor = ofPeft ?? ofLycoris;
  if (tensor === undefined) return undefined;
  const { shape } = tensor;
  const perInput = ofLycoris !== undefined && shape[0] === 1 && shape[1] === inputs && rows !== 1;
  if (tensor.count !== (perInput ? inputs : rows)) {
    fail(`the lengths of DoRA have the shape ${list(shape)}, the model has ${rows} rows`);
  }
  if (perInput && order.length < pieces) {
    fail(
      `it has a length for each input of ${pieces} layers of the model together, ` +
        "which cannot be told apart",
    );
  }
  const axis = perInput ? "in" : "out";
  const isShare = ofPeft === undefined;
  const make = (scale: number): Magnitude => {
    const [blend, epsilon] = isShare ? [scale, EPSILON] : [1, 0];
    return { values: tensor.values(), axis, blend, epsilon };
  };
  return { make, isShare };
}

/** @throws LayerProblem unless an alpha is one number. */
function singleValue(alpha: FileTensor): number {
  if (alpha.count !== 1) fail(`alpha has the shape ${list(alpha.shape)}, and must be one number`);
  return alpha.firstValue();
}
