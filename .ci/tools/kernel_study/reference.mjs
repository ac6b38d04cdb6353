// Random inputs of a problem, and its results in float64 at sampled places.

const SAMPLES = 96;
// Up to so many results, or rows of attention, all are checked.
const ALL_RESULTS = 8192;
const ALL_ROWS = 512;
// An input repeats one table of normal numbers. Lengths are prime, so that numbers at the regular
// distances of a wrong address differ.
const PERIODS = [524309, 262147, 131101, 65537];

const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/** The bits of a number rounded to float16, to the nearest and of two to the even one. */
function toFloat16(number) {
  single[0] = number;
  const sign = (bits[0] >>> 16) & 0x8000;
  const exponent = ((bits[0] >>> 23) & 255) - 112;
  if (exponent > 30) return sign | 0x7c00;
  if (exponent < -10) return sign;
  const isNormal = exponent > 0;
  const mantissa = (bits[0] & 0x7fffff) | (isNormal ? 0 : 0x800000);
  const dropped = isNormal ? 13 : 14 - exponent;
  const kept = (isNormal ? exponent << 10 : 0) + (mantissa >>> dropped);
  const rest = mantissa & ((1 << dropped) - 1);
  const half = 1 << (dropped - 1);
  return sign | (kept + (rest > half || (rest === half && kept % 2 === 1) ? 1 : 0));
}

function fromFloat16(half) {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** Uniform numbers in (0, 1). */
function makeRandom(seed) {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    let mixed = state ^ (state >>> 15);
    mixed = Math.imul(mixed, 2246822519);
    return (((mixed ^ (mixed >>> 13)) >>> 0) + 0.5) / 4294967296;
  };
}

const tables = new Map();
function normalTable(seed) {
  if (!tables.has(seed)) {
    const random = makeRandom(seed);
    const normal = () => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
    tables.set(seed, Float32Array.from({ length: PERIODS[seed % PERIODS.length] }, normal));
  }
  return tables.get(seed);
}

/** An input: its bytes, and `value(i)`, the i-th value as the buffer's type holds it. */
export function makeInput({ type, count, std, seed }) {
  const normal = normalTable(seed);
  const period = normal.length;
  const values = normal.map((x) => x * std);
  let stored = values;
  if (type === "f16") {
    stored = Uint16Array.from(values, toFloat16);
    values.set(Array.from(stored, fromFloat16));
  } else if (type === "i8") {
    stored = Int8Array.from(values, (x) => Math.max(-127, Math.min(127, Math.round(x))));
    values.set(stored);
  }
  const size = stored.BYTES_PER_ELEMENT;
  const bytes = new stored.constructor((Math.ceil((count * size) / 4) * 4) / size);
  for (let at = 0; at < count; at += period) {
    bytes.set(stored.subarray(0, Math.min(period, count - at)), at);
  }
  return { value: (i) => values[i % period], bytes };
}

function gemmResult({ n: columns, k, conv }, input, m, n) {
  const a = input.a.value;
  const w = input.w.value;
  let sum = 0;
  if (conv) {
    const { height, width, channels, out_height, out_width, kernel, stride, padding, upsample } =
      conv;
    const x = m % out_width;
    const y = Math.floor(m / out_width) % out_height;
    const image = Math.floor(m / (out_width * out_height));
    for (let tap = 0; tap < kernel * kernel; tap++) {
      const row = y * stride + Math.floor(tap / kernel) - padding;
      const column = x * stride + (tap % kernel) - padding;
      if (row < 0 || column < 0 || row >= height * upsample || column >= width * upsample) continue;
      const source =
        (image * height + Math.floor(row / upsample)) * width + Math.floor(column / upsample);
      const pixel = source * channels;
      const weight = n * k + tap * channels;
      for (let c = 0; c < channels; c++) sum += a(pixel + c) * w(weight + c);
    }
  } else {
    for (let i = 0; i < k; i++) sum += a(m * k + i) * w(n * k + i);
  }
  return sum + input.bias.value(n) + input.residual.value(m * columns + n);
}

function attentionRow({ keys, heads, head_dim, scale }, input, batch, head, start) {
  const keyAt = (key) => ((batch * keys + key) * heads + head) * head_dim;
  const scores = Float64Array.from({ length: keys }, (_, key) => {
    let score = 0;
    for (let c = 0; c < head_dim; c++) {
      score += input.q.value(start + c) * input.k.value(keyAt(key) + c);
    }
    return score * scale;
  });
  const top = scores.reduce((a, b) => Math.max(a, b));
  const weights = scores.map((score) => Math.exp(score - top));
  const total = weights.reduce((a, b) => a + b);
  return Array.from(
    { length: head_dim },
    (_, c) =>
      weights.reduce((sum, weight, key) => sum + weight * input.v.value(keyAt(key) + c), 0) / total,
  );
}

/** Pairs of an index into the result and the value that is expected there. */
export function expectSamples({ gemm, attention }, input) {
  const random = makeRandom(7);
  const pick = (count) => Math.floor(random() * count);
  if (gemm) {
    const { m, n } = gemm;
    const all = m * n <= ALL_RESULTS;
    const corners = [0, n - 1, (m - 1) * n, m * n - 1];
    return Array.from({ length: all ? m * n : SAMPLES }, (_, s) => {
      const at = all ? s : (corners[s] ?? pick(m) * n + pick(n));
      return [at, gemmResult(gemm, input, Math.floor(at / n), at % n)];
    });
  }
  const { batch, heads, queries, head_dim } = attention;
  const rows = batch * queries * heads;
  const all = rows <= ALL_ROWS;
  const corners = [0, rows - 1];
  return Array.from({ length: all ? rows : Math.ceil(SAMPLES / 12) }, (_, s) => {
    const row = all ? s : (corners[s] ?? pick(rows));
    const head = row % heads;
    const image = Math.floor(row / heads / queries);
    const start = row * head_dim;
    return attentionRow(attention, input, image, head, start).map((x, c) => [start + c, x]);
  }).flat();
}
