/**
 * Gives the numbers of `torch.randn` on a CPU, bit for bit, from PyTorch's generator.
 *
 * These are `torch.Generator().manual_seed(seed)` and `torch.randn(shape, generator=…)` in
 * float32.
 *
 * Sources: Matsumoto and Nishimura, "Mersenne Twister" (1998), for MT19937;
 * PyTorch's `normal_fill` (aten/src/ATen/native/cpu/DistributionTemplates.h) for
 * the order of the numbers; Cephes' single-precision log, sin and cos, as its
 * AVX2 code path evaluates them with fused multiply-add. From 16 numbers on the
 * results are those of any x86 machine with AVX2.
 */

const STATE = 624;
const SHIFT = 397;

/** The Mersenne Twister MT19937. */
export class MersenneTwister {
  /** The second of a pair of normal numbers that the scalar path has not handed out. */
  spare: number | undefined;
  private readonly state = new Uint32Array(STATE);
  private next = STATE;

  /** Start from the low 32 bits of a seed, as PyTorch does. */
  constructor(seed: number | bigint) {
    let word = Number(BigInt.asUintN(32, BigInt(seed)));
    this.state[0] = word;
    for (let i = 1; i < STATE; i++) {
      word = (Math.imul(1812433253, word ^ (word >>> 30)) + i) >>> 0;
      this.state[i] = word;
    }
  }

  /** The next 32 random bits. */
  random32(): number {
    if (this.next === STATE) this.refill();
    let word = this.state[this.next++]!;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  /** A float32 in [0, 1) with 24 random bits. */
  uniform(): number {
    return (this.random32() & 0xffffff) * 2 ** -24;
  }

  /** A float64 in [0, 1) with 53 random bits. */
  uniform53(): number {
    const high = this.random32() & 0x1fffff;
    return (high * 2 ** 32 + this.random32()) * 2 ** -53;
  }

  private refill(): void {
    const s = this.state;
    for (let i = 0; i < STATE; i++) {
      const word = (s[i]! & 0x80000000) | (s[(i + 1) % STATE]! & 0x7fffffff);
      s[i] = s[(i + SHIFT) % STATE]! ^ (word >>> 1) ^ (word & 1 ? 0x9908b0df : 0);
    }
    this.next = 0;
  }
}

/** Below this many numbers PyTorch takes its scalar path. */
const VECTOR_SIZE = 16;

/** Standard normal numbers as `torch.randn(count)` draws them. */
export function randn(generator: MersenneTwister, count: number): Float32Array {
  return count < VECTOR_SIZE ? randnScalar(generator, count) : randnVector(generator, count);
}

function randnScalar(generator: MersenneTwister, count: number): Float32Array {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    if (generator.spare !== undefined) {
      out[i] = generator.spare;
      generator.spare = undefined;
      continue;
    }
    const angle = 2 * Math.PI * generator.uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-generator.uniform53()));
    out[i] = radius * Math.cos(angle);
    generator.spare = radius * Math.sin(angle);
  }
  return out;
}

function randnVector(generator: MersenneTwister, count: number): Float32Array {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = generator.uniform();
  for (let i = 0; i + VECTOR_SIZE <= count; i += VECTOR_SIZE) boxMuller(out, i);
  if (count % VECTOR_SIZE !== 0) {
    // The tail is drawn anew, and overlaps numbers that were already made.
    const tail = count - VECTOR_SIZE;
    for (let i = tail; i < count; i++) out[i] = generator.uniform();
    boxMuller(out, tail);
  }
  return out;
}

const f32 = Math.fround;

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer); // low word first, as on every browser's machine

/**
 * a * b + c of float32 numbers, rounded once.
 *
 * The product is exact in float64, and rounding the rounded sum again is right unless the sum lies
 * halfway between two float32 numbers. Then what its rounding lost decides (Boldo and Melquiond
 * 2008, rounding to odd).
 */
function fma(a: number, b: number, c: number): number {
  const product = a * b;
  const sum = product + c;
  double[0] = sum;
  // The 29 bits that float32 lacks; numbers so small that it lacks more take the exact way.
  if ((words[0]! & 0x1fffffff) !== 0x10000000 && Math.abs(sum) >= 2 ** -126) return f32(sum);
  const added = sum - product;
  const lost = product - (sum - added) + (c - added); // exact (Knuth's two-sum)
  if (lost === 0) return f32(sum);
  if ((words[0]! & 1) === 0) {
    if (lost > 0 === sum > 0) {
      words[0]! |= 1;
    } else {
      if (words[0] === 0) words[1]! -= 1;
      words[0]! -= 1;
    }
  }
  return f32(double[0]);
}

/** Turn 16 uniform numbers into 16 normal ones, in place (Box and Muller 1958). */
function boxMuller(data: Float32Array, start: number): void {
  const half = VECTOR_SIZE / 2;
  for (let i = start; i < start + half; i++) {
    const radius = f32(Math.sqrt(f32(-2 * logf(f32(1 - data[i]!)))));
    const [sin, cos] = sincosf(f32(f32(2 * Math.PI) * data[i + half]!));
    data[i] = f32(radius * cos);
    data[i + half] = f32(radius * sin);
  }
}

const LOG = [
  7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1,
  -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
].map(f32);
const SQRT_HALF = f32(0.7071067811865476);
const bits = new DataView(new ArrayBuffer(4));

/** Cephes logf for normal positive numbers. */
function logf(value: number): number {
  bits.setFloat32(0, value);
  const word = bits.getInt32(0);
  let exponent = (word >> 23) - 126;
  bits.setInt32(0, (word & ~0x7f800000) | 0x3f000000);
  let x = bits.getFloat32(0);
  if (x < SQRT_HALF) {
    exponent -= 1;
    x = f32(f32(x - 1) + x);
  } else {
    x = f32(x - 1);
  }
  const z = f32(x * x);
  let y = LOG[0]!;
  for (let i = 1; i < LOG.length; i++) y = fma(y, x, LOG[i]!);
  y = f32(y * x);
  y = fma(y, z, f32(exponent * f32(-2.1219444e-4)));
  y = fma(z, -0.5, y);
  return fma(exponent, 0.693359375, f32(x + y));
}

const COS = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2].map(f32);
const SIN = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1].map(f32);
// Cephes' own digits.
// eslint-disable-next-line no-loss-of-precision -- rounded to float32 in any case
const PI_PARTS = [-0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8].map(f32);

/** Cephes sinf and cosf for 0 ≤ x ≤ 2π. */
function sincosf(angle: number): [number, number] {
  const octant = (Math.trunc(f32(angle * f32(1.27323954473516))) + 1) & ~1;
  let x = angle;
  for (const part of PI_PARTS) x = fma(octant, part, x);
  const z = f32(x * x);
  let cos = COS[0]!;
  cos = fma(cos, z, COS[1]!);
  cos = fma(cos, z, COS[2]!);
  cos = f32(cos * z);
  cos = f32(fma(cos, z, -f32(z * 0.5)) + 1);
  let sin = SIN[0]!;
  sin = fma(sin, z, SIN[1]!);
  sin = fma(sin, z, SIN[2]!);
  sin = fma(f32(sin * z), x, x);
  const swap = (octant & 2) !== 0;
  const sinSign = octant & 4 ? -1 : 1;
  const cosSign = ~(octant - 2) & 4 ? -1 : 1;
  return [sinSign * (swap ? cos : sin), cosSign * (swap ? sin : cos)];
}
