/**
 * Seeds that numpy derives from one: `numpy.random.SeedSequence`, bit for bit.
 *
 * Source: numpy/random/bit_generator.pyx, after O'Neill, "Developing a seed_seq alternative"
 * (2015).
 */

const FIRST_CONSTANT = 0x43b0d7e5;
const FIRST_FACTOR = 0x931e8875;
const SECOND_CONSTANT = 0x8b51f9dd;
const SECOND_FACTOR = 0x58f38ded;
const MIX_LEFT = 0xca01f9dd;
const MIX_RIGHT = 0x4973f715;
const SHIFT = 16;

/**
 * The words of `SeedSequence(entropy, spawn_key=…, pool_size=…).generate_state(count)`.
 *
 * @param entropy a whole number, 0 or more.
 * @param spawnKey whole numbers, 0 or more, below 2 ** 32.
 * @param poolSize words of the pool, 4 or more.
 */
export function seedWords(
  entropy: bigint,
  spawnKey: number[],
  poolSize: number,
  count: number,
): Uint32Array {
  const pool = mixEntropy(assembleEntropy(entropy, spawnKey, poolSize), poolSize);
  const words = new Uint32Array(count);
  let constant = SECOND_CONSTANT;
  for (let i = 0; i < count; i++) {
    let word = pool[i % poolSize]! ^ constant;
    constant = Math.imul(constant, SECOND_FACTOR);
    word = Math.imul(word, constant);
    words[i] = word ^ (word >>> SHIFT);
  }
  return words;
}

/** The words of the entropy, lowest first, and those of the key behind a whole pool of them. */
function assembleEntropy(entropy: bigint, spawnKey: number[], poolSize: number): number[] {
  const words: number[] = [];
  for (let rest = entropy; words.length === 0 || rest > 0n; rest >>= 32n) {
    words.push(Number(BigInt.asUintN(32, rest)));
  }
  if (spawnKey.length === 0) return words;
  while (words.length < poolSize) words.push(0);
  return [...words, ...spawnKey];
}

function mixEntropy(entropy: number[], poolSize: number): Uint32Array {
  let constant = FIRST_CONSTANT;
  const hash = (value: number): number => {
    let word = value ^ constant;
    constant = Math.imul(constant, FIRST_FACTOR);
    word = Math.imul(word, constant);
    return word ^ (word >>> SHIFT);
  };
  const pool = Uint32Array.from({ length: poolSize }, (_, i) => hash(entropy[i] ?? 0));
  const mixInto = (target: number, value: number): void => {
    const word = Math.imul(pool[target]!, MIX_LEFT) - Math.imul(value, MIX_RIGHT);
    pool[target] = word ^ (word >>> SHIFT);
  };
  for (let source = 0; source < poolSize; source++) {
    for (let target = 0; target < poolSize; target++) {
      if (source !== target) mixInto(target, hash(pool[source]!));
    }
  }
  for (const word of entropy.slice(poolSize)) {
    for (let target = 0; target < poolSize; target++) mixInto(target, hash(word));
  }
  return pool;
}
