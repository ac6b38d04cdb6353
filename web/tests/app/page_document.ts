/** The pages' own markup, for tests on a document of happy-dom. */

import { readFileSync } from "node:fs";
import path from "node:path";

/** The folder of the pages. */
export const APP = path.join(import.meta.dirname, "../../src/app");

/** Put a page's body into the document; import the page's modules afterwards. */
export function openPage(file: string): void {
  const text = readFileSync(path.join(APP, file), "utf8");
  document.body.innerHTML = /<body>(.*)<\/body>/s.exec(text)![1]!;
  document.title = /<title>(.*)<\/title>/.exec(text)![1]!;
}
