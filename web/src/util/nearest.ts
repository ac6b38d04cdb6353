/** Finds the known name that is most like one that is not known. */

/**
 * Return the known name that is nearest to another one: the fewest letters differ, at most one in
 * three. Capitals, underscores and hyphens do not count.
 *
 * @returns undefined if none is near.
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  // A long text is not a misspelt name, and comparing it takes long.
  if (name.length > 2 * Math.max(0, ...known.map((each) => each.length))) return undefined;
  const wanted = plain(name);
  let found: string | undefined;
  let fewest = Math.floor(wanted.length / 3);
  for (const candidate of known) {
    const count = distance(wanted, plain(candidate));
    if (count > fewest || (count === fewest && found !== undefined)) continue;
    [found, fewest] = [candidate, count];
  }
  return found;
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[_\s-]/g, "");
}

/** Count the letters to insert, delete or replace that make one text another (Levenshtein 1966). */
function distance(one: string, other: string): number {
  let above = Array.from({ length: other.length + 1 }, (_, column) => column);
  for (let row = 1; row <= one.length; row++) {
    const current = [row];
    for (let column = 1; column <= other.length; column++) {
      const replaced = above[column - 1]! + Number(one[row - 1] !== other[column - 1]);
      current.push(Math.min(replaced, above[column]! + 1, current[column - 1]! + 1));
    }
    above = current;
  }
  return above.at(-1)!;
}
