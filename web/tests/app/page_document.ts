/** The pages' own markup, for tests on a document of happy-dom. */

import { readFileSync } from "node:fs";
import path from "node:path";

/** The folder of the pages. */
export const APP = path.join(import.meta.dirname, "../../src/app");

/** Put a page's body into the document; import the page's modules afterwards. */
export function openPage(file: string): void {
  // eslint-disable-next-line security/detect-non-literal-fs-filename -- a test names it
  const text = readFileSync(path.join(APP, file), "utf8");
  // Without the head, whose files happy-dom would fetch.
  const body = /<body>.*<\/body>/s.exec(text)![0];
  document.body.replaceWith(new DOMParser().parseFromString(body, "text/html").body);
  document.title = /<title>(.*)<\/title>/.exec(text)![1]!;
}
