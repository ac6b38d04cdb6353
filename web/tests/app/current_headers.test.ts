/** Headers are asked for in a way that every server answers. */

import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import { expect, test } from "vitest";

import { fetchHeaders } from "../../src/app/current_headers";

/** Ask a server that answers in this way; returns its answer, and the methods of its requests. */
async function ask(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<[Response, (string | undefined)[]]> {
  const methods: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    methods.push(request.method);
    answer(request, response);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  try {
    const { port } = server.address() as AddressInfo;
    return [await fetchHeaders(`http://127.0.0.1:${String(port)}/index.html`), methods];
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("a server that answers HEAD is asked once, and sends no content", async () => {
  const [found, methods] = await ask((_, response) => {
    response.setHeader("Permissions-Policy", "camera=()").end();
  });
  expect([found.status, found.headers.get("Permissions-Policy")]).toEqual([200, "camera=()"]);
  expect(methods).toEqual(["HEAD"]);
});

test.each([400, 403, 404, 405, 500, 501])("a server that answers HEAD by %i", async (status) => {
  const [found, methods] = await ask((request, response) => {
    response.statusCode = request.method === "HEAD" ? status : 200;
    response.setHeader("Permissions-Policy", request.method === "HEAD" ? "" : "camera=()");
    response.end("x".repeat(request.method === "HEAD" ? 0 : 100_000));
  });
  expect([found.status, found.headers.get("Permissions-Policy")]).toEqual([200, "camera=()"]);
  expect(methods).toEqual(["HEAD", "GET"]);
});

test("a server that has no page says so", async () => {
  const [found] = await ask((_, response) => {
    response.statusCode = 503;
    response.end();
  });
  expect(found.ok).toBe(false);
});
