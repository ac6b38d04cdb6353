/** Whether this program runs where WSD can: in a browser's page or worker, over https. */

import { UnsupportedError } from "../util/errors";

/** What a browser has, of which other programs lack some. */
type Scope = Partial<Pick<typeof globalThis, "document" | "location" | "crypto">> & {
  isSecureContext?: boolean;
};

/**
 * Check that there is a browser, and that it gives this page WebGPU, digests and storage. Every
 * public function that needs them calls it first.
 *
 * @throws UnsupportedError in Node.js and on pages of plain http.
 */
export function checkEnvironment(): void {
  const { document, location, crypto, isSecureContext } = globalThis as Scope;
  if (document === undefined && location === undefined) {
    throw new UnsupportedError(
      "this is not a browser: there is neither a page nor a worker",
      "WSD can be imported everywhere, and draws in a browser only: in Next.js, call it in a " +
        'component with "use client", in an effect or an event handler; on a server, use wsd render',
    );
  }
  if (isSecureContext !== false && crypto?.subtle !== undefined) return;
  const origin = location?.origin;
  throw new UnsupportedError(
    `the browser does not trust this page${origin === undefined ? "" : `, ${origin}`}: it is no ` +
      "secure context, so there is no WebGPU",
    "open the page over https or from localhost (http://localhost:8080 on the machine that serves " +
      "it); a page in a frame also needs https in every page around it",
  );
}
