/** A server on this machine whose answers a test decides. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Run work with a server's address; each request takes the next answer, the last one again. */
export async function withServer(
  answers: Answer[],
  work: (address: string, requests: IncomingMessage[]) => Promise<void>,
): Promise<void> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    answers[Math.min(requests.length, answers.length) - 1]!(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as { port: number };
    await work(`http://127.0.0.1:${port}/`, requests);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Everything, or the range that is asked for. */
export function whole(body: Uint8Array, type = "application/octet-stream"): Answer {
  return ({ headers }, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);
    response.writeHead(headers.range === undefined ? 200 : 206, { "Content-Type": type });
    response.end(body.subarray(from));
  };
}

/** So many bytes from the start, then the connection breaks. */
export function broken(body: Uint8Array, count: number): Answer {
  return (_request, response) => {
    response.writeHead(200, { "Content-Length": body.length });
    response.write(body.subarray(0, count), () => response.destroy());
  };
}

/** An answer without a body. */
export function status(code: number): Answer {
  return (_request, response) => response.writeHead(code).end();
}
