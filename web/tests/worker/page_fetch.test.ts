/** The page's fetch as the worker calls it: over a channel, piece by piece. */

import * as Comlink from "comlink";
import { afterEach, beforeAll, expect, test } from "vitest";

import type { FetchFunction } from "../../src/api/load_options";
import { download } from "../../src/bundle/download";
import { makeTransport } from "../../src/bundle/transport";
import { registerErrors } from "../../src/worker/error_transfer";
import { fetchOverPage, PageFetch } from "../../src/worker/page_fetch";
import { broken, whole, withServer } from "../server";

const body = Uint8Array.from({ length: 300_000 }, (_, index) => index % 251);
let channel: MessageChannel;
/** The page's side of it. */
let page: PageFetch;

beforeAll(registerErrors);
afterEach(() => {
  channel.port1.close();
  channel.port2.close();
});

/** Return the worker's function for a page's. */
function over(fetch: FetchFunction): FetchFunction {
  channel = new MessageChannel();
  page = new PageFetch(fetch);
  Comlink.expose(page, channel.port1);
  return fetchOverPage(Comlink.wrap<PageFetch>(channel.port2));
}

test("a request arrives as it is sent, and so does its answer", async () => {
  await withServer([whole(body, "a/b")], async (address, requests) => {
    let init: RequestInit = {};
    const fetch = over((url, given) => globalThis.fetch(url, (init = given)));
    const headers = new Headers({ Range: "bytes=7-", Authorization: "x" });
    const response = await fetch(address, { headers, credentials: "include", cache: "reload" });
    expect([response.status, response.headers.get("content-type")]).toEqual([206, "a/b"]);
    const received = new Uint8Array(await response.arrayBuffer());
    expect(Buffer.compare(received, body.subarray(7))).toBe(0);
    expect([init.credentials, init.cache]).toEqual(["include", "reload"]);
    expect(requests[0]!.headers).toMatchObject({ range: "bytes=7-", authorization: "x" });
  });
});

test("a file is downloaded, also when it breaks off", async () => {
  await withServer([broken(body, 100_000), whole(body)], async (address) => {
    const transport = makeTransport({ fetch: over((url, init) => fetch(url, init)) });
    const data = await download(address, body.length, () => 0, { transport });
    expect(Buffer.compare(new Uint8Array(data), body)).toBe(0);
  });
});

test("bytes that the page still uses stay its own", async () => {
  const own = Uint8Array.of(1, 2, 3);
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(own);
      controller.enqueue(own.subarray(1));
      controller.close();
    },
  });
  const fetch = over(() => Promise.resolve(new Response(stream)));
  const reader = (await fetch("a:b", {})).body!.getReader();
  for (const expected of [own, own.subarray(1)]) {
    const { value } = await reader.read();
    expect(value).toEqual(expected);
    expect(value!.buffer.byteLength).toBe(expected.length); // no more is sent than that
  }
  expect(own.length).toBe(3);
});

test.each([204, 205, 304])("an answer %i has no body", async (status) => {
  const fetch = over(() => Promise.resolve(new Response(null, { status })));
  const response = await fetch("a:b", {});
  expect([response.status, response.body]).toEqual([status, null]);
});

test("where it was redirected to is told", async () => {
  const answer = Object.defineProperties(new Response("a"), {
    redirected: { value: true },
    url: { value: "a:c" },
  });
  const fetch = over(() => Promise.resolve(answer));
  expect(await fetch("a:b", {})).toMatchObject({ redirected: true, url: "a:c" });
});

test("what it throws is thrown, by name", async () => {
  const fetch = over(() => Promise.reject(new DOMException("late", "TimeoutError")));
  await expect(fetch("a:b", {})).rejects.toMatchObject({ name: "TimeoutError", message: "late" });
});

test.each([undefined, null, {}, "text", { status: 200 }])("%o is no answer", async (answer) => {
  const fetch = over(() => Promise.resolve(answer as Response));
  await expect(fetch("a:b", {})).rejects.toThrow(/returned no Response/);
});

test.each(["read", "being read"])("a body that was %s is none", async (how) => {
  const answer = new Response("a");
  if (how === "read") await answer.text();
  else answer.body!.getReader();
  const fetch = over(() => Promise.resolve(answer));
  await expect(fetch("a:b", {})).rejects.toThrow(/has read the answer's body/);
});

test("cancelling ends the page's request, before its answer and amid its body", async () => {
  for (const amid of [false, true]) {
    let signal: AbortSignal | null | undefined;
    let cancelled = false;
    const stream = new ReadableStream({ cancel: () => void (cancelled = true) });
    const fetch = over((_, init) => {
      ({ signal } = init);
      return amid ? Promise.resolve(new Response(stream)) : new Promise(() => undefined);
    });
    const controller = new AbortController();
    const answer = fetch("a:b", { signal: controller.signal });
    if (amid) await answer;
    await expect.poll(() => signal).toBeDefined();
    controller.abort();
    await expect.poll(() => signal!.aborted).toBe(true);
    if (amid) await expect.poll(() => cancelled).toBe(true);
  }
});

/** A body without an end, and whether it was cancelled. */
function endless(): { body: ReadableStream; state: { cancelled: boolean } } {
  const state = { cancelled: false };
  const body = new ReadableStream({
    pull: (stream) => stream.enqueue(new Uint8Array(10)),
    cancel: () => void (state.cancelled = true),
  });
  return { body, state };
}

test("when the worker is gone, its requests end, and no new one begins", async () => {
  const { body, state } = endless();
  const signals: AbortSignal[] = [];
  const fetch = over((url, { signal }) => {
    signals.push(signal!);
    return url === "a:pending" ? new Promise(() => undefined) : Promise.resolve(new Response(body));
  });
  await fetch("a:body", {});
  void fetch("a:pending", {}).catch(() => undefined);
  await expect.poll(() => signals.length).toBe(2);
  page.closeAll();
  expect([state.cancelled, ...signals.map(({ aborted }) => aborted)]).toEqual([true, true, true]);
  await expect(fetch("a:late", {})).rejects.toMatchObject({ name: "AbortError" });
  expect(signals.length).toBe(2);
});

test("an answer that comes after its request was cancelled is not left open", async () => {
  const { body, state } = endless();
  let answer: (response: Response) => void = () => undefined;
  let signal: AbortSignal | null | undefined;
  const fetch = over((_, init) => {
    ({ signal } = init);
    return new Promise((resolve) => (answer = resolve));
  });
  const controller = new AbortController();
  const failure = fetch("a:b", { signal: controller.signal });
  const outcome = expect(failure).rejects.toMatchObject({ name: "AbortError" });
  await expect.poll(() => signal).toBeDefined();
  controller.abort();
  await expect.poll(() => signal!.aborted).toBe(true);
  answer(new Response(body));
  await outcome;
  await expect.poll(() => state.cancelled).toBe(true);
});

test.each([404, 503])(
  "the body of an answer %i, which nobody reads, is not left open",
  async (status) => {
    const { body, state } = endless();
    const fetch = over(() => Promise.resolve(new Response(body, { status })));
    const controller = new AbortController();
    const how = { transport: makeTransport({ fetch }), signal: controller.signal };
    const failure = download("a:b", 3, () => 0, how);
    failure.catch(() => undefined);
    await expect.poll(() => state.cancelled).toBe(true);
    controller.abort();
    await expect(failure).rejects.toThrow();
  },
);

test("nothing is kept of requests that have ended, in whatever way", async () => {
  const answers: Record<string, () => Response> = {
    "a:whole": () => new Response("abc"),
    "a:empty": () => new Response(null, { status: 204 }),
    "a:odd": () => Object.defineProperty(new Response("a"), "status", { value: 99 }),
    "a:broken": () =>
      new Response(new ReadableStream({ pull: (stream) => stream.error(new Error("broken")) })),
    "a:cancelled": () => new Response(endless().body),
    "a:none": () => undefined as unknown as Response,
  };
  const fetch = over((url) => Promise.resolve(answers[url]!()));
  for (const url of Object.keys(answers)) {
    const response = await fetch(url, {}).catch(() => undefined);
    if (url === "a:cancelled") await response!.body!.cancel();
    else await response?.text().catch(() => undefined);
  }
  const { running } = page as unknown as { running: Map<number, unknown> };
  await expect.poll(() => [...running.keys()]).toEqual([]);
});
