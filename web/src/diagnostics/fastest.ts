/** Finds the fastest of several candidates by their times, without being misled by noise. */

/** The share of its time that a candidate must save, for it to take the place of the default. */
export const MARGIN = 0.03;
/** Most runs of a candidate in one measurement: recording them takes time too. */
export const MOST_REPEATS = 100;
/** A candidate that takes so many times as long as the default in a first run is out. */
const HOPELESS = 4;
/** How many candidates are compared with the default in the end. */
const CONTENDERS = 2;
/** How often they are compared. */
const ROUNDS = 5;
/** A candidate is out if another one took less than this share of its time each time. */
const CLEAR = 0.5;

/** Times candidates, which are numbered from 0. */
export interface Timer {
  /** By how many milliseconds a measurement may be wrong. */
  readonly resolution: number;
  /** Milliseconds that a measurement should take, so that this matters little. */
  readonly span: number;
  /**
   * Run each of some candidates a number of times, one candidate after another.
   *
   * @returns milliseconds of all runs of each.
   */
  time(candidates: readonly number[], repeats: number): Promise<number[]>;
}

/** What was found. */
export interface Fastest {
  candidate: number;
  /** How many times as fast as the default it is. */
  gain: number;
}

/**
 * Find the fastest of some candidates. Number 0 is the default, which stays unless another one is
 * faster by {@link MARGIN}, and by more than the clock's resolution, in comparisons in turn.
 *
 * @param count of the candidates.
 */
export async function findFastest(count: number, timer: Timer): Promise<Fastest> {
  const { resolution, span } = timer;
  const all = Array.from({ length: count }, (_, candidate) => candidate);
  // The first run may take longer than others: it sorts out what is far slower, and says how many runs
  // a measurement takes.
  const once = await timer.time(all, 1);
  const most = HOPELESS * once[0]! + resolution;
  const left = all.filter((candidate) => candidate === 0 || once[candidate]! <= most);
  const runs = Math.round(span / Math.max(once[0]!, resolution / 2));
  const repeats = Math.min(Math.max(runs, 1), MOST_REPEATS);
  const times = await timer.time(left, repeats);
  const contenders = left
    .map((candidate, index) => ({ candidate, time: times[index]! }))
    .filter(({ candidate, time }) => candidate !== 0 && time < times[0]!)
    .sort((one, other) => one.time - other.time)
    .slice(0, CONTENDERS)
    .map(({ candidate }) => candidate);
  if (contenders.length === 0) return { candidate: 0, gain: 1 };
  let compared = [0, ...contenders];
  const samples = new Map(compared.map((candidate) => [candidate, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    // In turns forwards and backwards, so that a GPU that slows down does not favour the first.
    const order = round % 2 === 0 ? compared : [...compared].reverse();
    const found = await timer.time(order, repeats);
    order.forEach((candidate, index) => samples.get(candidate)!.push(found[index]!));
    const of = (candidate: number): number[] => samples.get(candidate)!;
    const best = Math.min(...compared.map((candidate) => Math.max(...of(candidate))));
    compared = compared.filter((candidate) => CLEAR * Math.min(...of(candidate)) <= best);
    if (compared.length < 2) break;
  }
  return decide(samples, resolution);
}

/**
 * Decide by the median times of candidates, of which number 0 is the default.
 *
 * @param samples candidate → its times, each of as many runs.
 * @param resolution by how many milliseconds a time may be wrong.
 */
export function decide(
  samples: ReadonlyMap<number, readonly number[]>,
  resolution: number,
): Fastest {
  const medians = [...samples].map(([candidate, times]) => ({ candidate, time: median(times) }));
  const before = medians.find(({ candidate }) => candidate === 0)!.time;
  const best = medians.reduce((one, other) => (other.time < one.time ? other : one));
  const saved = before - best.time;
  const taken = saved > MARGIN * before && saved > resolution;
  return taken
    ? { candidate: best.candidate, gain: before / best.time }
    : { candidate: 0, gain: 1 };
}

/** The median, so that one pause of the machine does not count. */
export function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!;
}
