/** Fetches and keeps texts of any content, for tests of how they are fetched and kept. */

import type { TextOptions } from "../src/bundle/bundle_files";
import { fetchParsed } from "../src/bundle/bundle_files";
import type { FileCache } from "../src/bundle/cache";

export async function fetchText(
  url: string,
  cache: FileCache,
  options?: TextOptions,
): Promise<string> {
  return fetchParsed(url, cache, (text) => text, options);
}
