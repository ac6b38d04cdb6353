/** The service worker: keeps the page itself, so that a second visit needs no network. */

import { cacheNames, clientsClaim } from "workbox-core";
import {
  cleanupOutdatedCaches,
  getCacheKeyForURL,
  matchPrecache,
  precacheAndRoute,
} from "workbox-precaching";

import { fetchHeaders } from "./current_headers";

/** Replaced by the bundler with the page's files. */
declare const PAGE_FILES: { url: string; integrity: string }[];
/** Replaced by the bundler with the headers that a bundle's own servers send. */
declare const HEADERS: Record<string, string>;
/** Replaced by the bundler with their digest. */
declare const HEADERS_REVISION: string;

/** The part of a fetch event that is used; TypeScript's types of the page have none. */
interface FetchEvent extends Event {
  request: Request;
  waitUntil: (work: Promise<unknown>) => void;
}

// A new version takes over at once: the page and its worker belong to the same version, because
// they are fetched together.
const scope = globalThis as unknown as { skipWaiting: () => Promise<void> };
addEventListener("install", () => void scope.skipWaiting());
clientsClaim();
cleanupOutdatedCaches();
const files = PAGE_FILES.map(({ url, integrity }) => ({
  url,
  integrity,
  // An answer is kept with its headers, so a file is fetched anew when either changes.
  revision: `${integrity}-${HEADERS_REVISION}`,
}));
// First, because whoever answers a request keeps it from the listeners after it.
addEventListener("fetch", (event) => {
  const { request, waitUntil } = event as FetchEvent;
  if (request.mode !== "navigate") return;
  // Without a network the kept files stay as they are.
  waitUntil.call(
    event,
    refreshHeaders().catch(() => undefined),
  );
});

// The page's files are the same whatever the query is: the page itself reads `model`, and links
// from elsewhere bring parameters of campaigns (utm_source, fbclid, gclid and many more).
precacheAndRoute(files, { ignoreURLParametersMatching: [/^/] });

/**
 * Fetch the kept files again if the server sends other headers than they were kept with: whoever
 * hosts the page may change its policy, and kept files would go on with the old headers.
 */
async function refreshHeaders(): Promise<void> {
  const kept = await matchPrecache("index.html");
  const current = await fetchHeaders("index.html");
  const names = Object.keys(HEADERS);
  const same = names.every((name) => kept?.headers.get(name) === current.headers.get(name));
  if (same || !current.ok) return;
  const cache = await caches.open(cacheNames.precache);
  for (const { url, integrity } of PAGE_FILES) {
    // `integrity` refuses files of another version of the page, which has its own service worker.
    const fresh = await fetch(url, { cache: "reload", integrity });
    if (fresh.ok) await cache.put(getCacheKeyForURL(url)!, fresh);
  }
}
