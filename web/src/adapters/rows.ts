/** Rows of a layer of a file that are a layer of the model, and what of a change is theirs. */

import type { Delta, LowRank, Magnitude, PatchMaker, StoredFactor } from "./patch";

/**
 * Which rows of a file's layer are a layer of the model. They are one and the same, but where the
 * original code of a model has several layers as one matrix, or a layer's rows in another order.
 */
export interface RowOrder {
  /** Into how many equal pieces the rows of the file's layer are cut. */
  pieces: number;
  /** Which pieces are the model's layer, in the order in which it has them. */
  order: readonly number[];
}

/** All rows, as they are. */
export const ALL_ROWS: RowOrder = { pieces: 1, order: [0] };

/** Return how many rows a file's layer has of which so many are the model's. */
export function rowsOfFile(count: number, { pieces, order }: RowOrder): number {
  return (count / order.length) * pieces;
}

/** Return what makes the change of some rows from what makes that of all of them. */
export function takeRows(whole: PatchMaker, rows: number, order: RowOrder): PatchMaker {
  if (order.pieces === 1) return whole;
  const pieces: Pieces = { order: order.order, rows: rows / order.pieces };
  return {
    check: whole.check,
    make: (scale) => {
      const { delta, magnitude, ...factors } = whole.make(scale);
      return {
        ...factors,
        delta: takeDelta(delta, pieces),
        magnitude: magnitude && takeMagnitude(magnitude, pieces),
      };
    },
  };
}

/** Pieces that are taken, and how many rows each has. */
interface Pieces {
  order: readonly number[];
  rows: number;
}

function takeDelta(delta: Delta, pieces: Pieces): Delta {
  switch (delta.kind) {
    case "low-rank":
      return { kind: "low-rank", factors: takeLowRank(delta.factors, pieces) };
    case "product":
      return {
        kind: "product",
        first: takeLowRank(delta.first, pieces),
        second: takeLowRank(delta.second, pieces),
      };
    case "kronecker":
      return takeKronecker(delta, pieces);
  }
}

/** Take rows of the left factor, which is (1, rows, rank) row-major or (rank, rows, 1). */
function takeLowRank({ rank, up, down }: LowRank, pieces: Pieces): LowRank {
  const [count, , last] = up.axes;
  const { order, rows } = pieces;
  const taken = order.length * rows;
  const size = up.bytes.length / (up.axes[0] * up.axes[1] * up.axes[2]);
  const bytes = new Uint8Array(count * taken * last * size);
  let end = 0;
  for (let block = 0; block < count; block++) {
    const start = block * up.axes[1] * last * size;
    for (const piece of order) {
      const from = start + piece * rows * last * size;
      const part = up.bytes.subarray(from, from + rows * last * size);
      bytes.set(part, end);
      end += part.length;
    }
  }
  const factor: StoredFactor = { type: up.type, bytes, axes: [count, taken, last] };
  return { rank, up: factor, down };
}

/**
 * Take rows of a Kronecker product, whose factors need not be cut where the rows are: the values are
 * multiplied here, which gives the same bits as the shader's products.
 */
function takeKronecker(
  { left, leftColumns, right, rightShape }: Extract<Delta, { kind: "kronecker" }>,
  { order, rows }: Pieces,
): Delta {
  const [rightRows, positions, rightColumns] = rightShape;
  const inputs = leftColumns * rightColumns;
  const values = new Float32Array(order.length * rows * positions * inputs);
  let at = 0;
  for (const piece of order) {
    for (let row = piece * rows; row < (piece + 1) * rows; row++) {
      const leftStart = Math.floor(row / rightRows) * leftColumns;
      for (let position = 0; position < positions; position++) {
        const rightStart = ((row % rightRows) * positions + position) * rightColumns;
        for (let column = 0; column < leftColumns; column++) {
          const factor = left[leftStart + column]!;
          for (let inner = 0; inner < rightColumns; inner++) {
            values[at++] = factor * right[rightStart + inner]!;
          }
        }
      }
    }
  }
  return {
    kind: "kronecker",
    left: Float32Array.of(1),
    leftColumns: 1,
    right: values,
    rightShape: [order.length * rows, positions, inputs],
  };
}

function takeMagnitude(magnitude: Magnitude, { order, rows }: Pieces): Magnitude {
  // A length for each input is of all rows in any order; where they are not all there, it is refused.
  if (magnitude.axis === "in") return magnitude;
  const values = new Float32Array(order.length * rows);
  order.forEach((piece, place) =>
    values.set(magnitude.values.subarray(piece * rows, (piece + 1) * rows), place * rows),
  );
  return { ...magnitude, values };
}
