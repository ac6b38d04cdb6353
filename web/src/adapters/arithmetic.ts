/**
 * Float32 sums on the CPU, for the small factors of a LoRA. Every product and every sum is rounded to
 * float32, in the order of the index that is summed over, as wsd/checkpoint/adapters computes them.
 */

/**
 * Multiply two matrices.
 *
 * @param left (rows, inner) @param right (inner, columns); both row-major.
 * @returns (rows, columns).
 */
export function multiply(
  left: Float32Array,
  right: Float32Array,
  rows: number,
  inner: number,
  columns: number,
): Float32Array<ArrayBuffer> {
  const product = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const sums = product.subarray(row * columns, (row + 1) * columns);
    for (let at = 0; at < inner; at++) {
      const factor = left[row * inner + at]!;
      const values = right.subarray(at * columns, (at + 1) * columns);
      // Writing to a Float32Array rounds the sum.
      for (let column = 0; column < columns; column++) {
        sums[column] = sums[column]! + Math.fround(factor * values[column]!);
      }
    }
  }
  return product;
}

/**
 * Multiply the core of a Tucker decomposition with its input factor: the sum over j of
 * core[i, j, positions] · factor[j, r], in the layout (i, positions, r) of stored weights.
 *
 * @param core (rank, inner, positions).
 * @param factor (inner, inputs).
 * @returns (rank, positions, inputs), row-major.
 */
export function contractCore(
  core: Float32Array,
  factor: Float32Array,
  [rank, inner, positions]: readonly [number, number, number],
  inputs: number,
): Float32Array<ArrayBuffer> {
  // As a product of matrices, (rank · positions, inner) with (inner, inputs).
  const turned = swapAxes(core, [rank, inner, positions]);
  return multiply(turned, factor, rank * positions, inner, inputs);
}

/** Turn (a, b, c) into (a, c, b). */
export function swapAxes(
  values: Float32Array,
  [first, second, third]: readonly [number, number, number],
): Float32Array<ArrayBuffer> {
  const turned = new Float32Array(values.length);
  for (let a = 0; a < first; a++) {
    const start = a * second * third;
    for (let b = 0; b < second; b++) {
      for (let c = 0; c < third; c++) {
        turned[start + c * second + b] = values[start + b * third + c]!;
      }
    }
  }
  return turned;
}

/** Transpose a matrix (rows, columns). */
export function transpose(
  values: Float32Array,
  rows: number,
  columns: number,
): Float32Array<ArrayBuffer> {
  return swapAxes(values, [1, rows, columns]);
}
