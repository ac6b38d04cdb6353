/** The quantile function of a symmetric beta distribution, for noise levels that follow it. */

/**
 * The point below which a share of the beta distribution with both parameters `shape` lies.
 *
 * The integral of the density up to x <= 1/2 is x^shape times a power series in x (DLMF 8.17.7);
 * Newton's method inverts it in u = x^shape, in which it is almost a straight line. What lies above
 * 1/2 follows by symmetry.
 *
 * @param share from 0 to 1.
 * @param shape the distribution's parameter, from 0 to 1.
 * @returns from 0 to 1, exact to about 1e-12.
 */
export function betaQuantile(share: number, shape: number): number {
  if (share > 0.5) return 1 - betaQuantile(1 - share, shape);
  const wanted = share * 2 * integral(0.5, shape);
  let u = wanted * shape;
  for (let round = 0; round < 60; round++) {
    const x = u ** (1 / shape);
    const slope = (1 - x) ** (shape - 1) / shape;
    const next = Math.min(u - (integral(x, shape) - wanted) / slope, 0.5 ** shape);
    if (Math.abs(next - u) <= 1e-16 * u) break;
    u = next;
  }
  return u ** (1 / shape);
}

/** The integral of t^(shape - 1) (1 - t)^(shape - 1) from 0 to x, for x up to 1/2. */
function integral(x: number, shape: number): number {
  let term = 1;
  let sum = 1 / shape;
  for (let n = 1; n < 200 && term > 1e-18; n++) {
    term *= ((n - shape) / n) * x;
    sum += term / (shape + n);
  }
  return x ** shape * sum;
}
