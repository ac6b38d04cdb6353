/** Numbers that stay within bounds. */

/** Return a number, or the bound that it goes beyond. */
export function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
