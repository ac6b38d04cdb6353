/** The service worker: keeps the page itself, so that a second visit needs no network. */

import { clientsClaim } from "workbox-core";
import { cleanupOutdatedCaches, precacheAndRoute } from "workbox-precaching";

/** Replaced by the bundler with the page's files. */
declare const PAGE_FILES: { url: string; integrity: string }[];
/** Replaced by the bundler with a digest of the headers that the files come with. */
declare const HEADERS_REVISION: string;

// A new version takes over at once: the page and its worker belong to the same version, because
// they are fetched together.
const scope = globalThis as unknown as { skipWaiting: () => Promise<void> };
addEventListener("install", () => void scope.skipWaiting());
clientsClaim();
cleanupOutdatedCaches();
// The page's files are the same whatever the query is: the page itself reads `model`, and links
// from elsewhere bring parameters of campaigns (utm_source, fbclid, gclid and many more).
const files = PAGE_FILES.map(({ url, integrity }) => ({
  ...{ url, integrity },
  // An answer is kept with its headers, so a file is fetched anew when either changes.
  revision: `${integrity}-${HEADERS_REVISION}`,
}));
precacheAndRoute(files, { ignoreURLParametersMatching: [/^/] });
