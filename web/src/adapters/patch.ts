/** What is added to a weight, in the layout in which the weight is stored. */

/** Types of values as a file has them, which the GPU widens to float32 without rounding. */
export type FactorType = "F32" | "F16" | "BF16";

/** A factor whose values are still as a file has them, so that nobody but the GPU touches them all. */
export interface StoredFactor {
  type: FactorType;
  /** Its values in row-major order, little-endian: a view of the file, at any of its bytes. */
  bytes: Uint8Array<ArrayBuffer>;
  /** The middle one and the last one are to change places. */
  axes: readonly [number, number, number];
}

/** Two factors whose product has the shape of a weight: sum over r of up[o, r] · down[r, i]. */
export interface LowRank {
  rank: number;
  /** (1, rows, rank), which becomes (rank, rows). */
  up: StoredFactor;
  /** (rank, inputs, positions), which becomes (rank, columns). */
  down: StoredFactor;
}

/** A difference to a weight, before its factor. */
export type Delta =
  | { kind: "low-rank"; factors: LowRank }
  /** The product, value by value, of two low-rank matrices: LoHa. */
  | { kind: "product"; first: LowRank; second: LowRank }
  /**
   * The Kronecker product: left[o / c, i / d] · right[o % c, position, i % d] with right of the shape
   * (c, positions, d): LoKr. With a left of the value 1 it is a whole matrix.
   */
  | {
      kind: "kronecker";
      left: Float32Array<ArrayBuffer>;
      /** Columns of `left`. */
      leftColumns: number;
      right: Float32Array<ArrayBuffer>;
      rightShape: readonly [number, number, number];
    };

/** The lengths that DoRA gives to the rows of a weight, or to what belongs to an input channel. */
export interface Magnitude {
  values: Float32Array<ArrayBuffer>;
  axis: "out" | "in";
  /** Share of the whole change that is applied: 1 for all of it. */
  blend: number;
  /** Added to a length before it divides. */
  epsilon: number;
}

/** One change of a weight W: W + factor · delta, with its lengths changed if there is a magnitude. */
export interface Patch {
  delta: Delta;
  /** A float32. */
  factor: number;
  magnitude?: Magnitude | undefined;
  /**
   * Factor of the delta that is added once more after the lengths were changed, a float32. Lines are
   * multiplied by s · r + 1 - s, with s the blend and r the ratio of their lengths; with
   * (s - 1) · factor here, that gives s · D + (1 - s) · W, where D has all of the change.
   */
  rest: number;
}

/** Makes the change of one parameter from the scale of the whole LoRA. */
export interface PatchMaker {
  /** @throws LoraError if a scale makes a factor beyond float32; no values are read. */
  check: (scale: number) => void;
  /** Read the tensors, and make the change; throws as `check` does. */
  make: (scale: number) => Patch;
}

/** What one LoRA does to one parameter. */
export interface Layer {
  /** Id of the component, and name of its record. */
  component: string;
  record: string;
  patch: PatchMaker;
}

/** A layer with the scale of its LoRA. */
export interface ScaledLayer {
  layer: Layer;
  scale: number;
}

/** Component → name of a record → its changes, in the order in which they are made. */
export type WeightPatches = ReadonlyMap<string, RecordPatches>;
/** Name of a record → its changes, in the order in which they are made. */
export type RecordPatches = ReadonlyMap<string, readonly ScaledLayer[]>;

/** Put the layers of several LoRAs together; those of the scale 0 change nothing. */
export function collectPatches(
  loras: readonly { layers: readonly Layer[]; scale: number }[],
): WeightPatches {
  const patches = new Map<string, Map<string, ScaledLayer[]>>();
  for (const { layers, scale } of loras) {
    if (scale === 0) continue;
    for (const layer of layers) {
      const records = patches.get(layer.component) ?? new Map<string, ScaledLayer[]>();
      patches.set(layer.component, records);
      const changes = records.get(layer.record) ?? [];
      records.set(layer.record, changes);
      changes.push({ layer, scale });
    }
  }
  return patches;
}

/** Names of the records of a component that two sets of patches change differently. */
export function differingRecords(
  one: RecordPatches | undefined,
  other: RecordPatches | undefined,
): string[] {
  const names = new Set([...(one?.keys() ?? []), ...(other?.keys() ?? [])]);
  return [...names].filter((name) => !areSame(one?.get(name) ?? [], other?.get(name) ?? []));
}

function areSame(one: readonly ScaledLayer[], other: readonly ScaledLayer[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ layer, scale }, index) => {
      const { layer: second, scale: otherScale } = other[index]!;
      return layer === second && scale === otherScale;
    })
  );
}
