import { expect, test } from "vitest";

import { download, downloadText, UnreachableError } from "../../src/bundle/download";
import { AbortError, FetchError } from "../../src/util/errors";
import type { Answer } from "../server";
import { broken, status, whole, withServer } from "../server";

const body = Uint8Array.from({ length: 1000 }, (_, index) => index % 251);

function counted(): { onBytes: (count: number) => void; total: () => number } {
  let total = 0;
  return { onBytes: (count) => (total += count), total: () => total };
}

test("bytes arrive, and are counted", async () => {
  await withServer([whole(body)], async (address) => {
    const { onBytes, total } = counted();
    expect(new Uint8Array(await download(address, 1000, onBytes))).toEqual(body);
    expect(total()).toBe(1000);
  });
});

test("an empty file is a file", async () => {
  await withServer([whole(body.subarray(0, 0))], async (address) => {
    expect((await download(address, 0, () => 0)).byteLength).toBe(0);
  });
});

test("a connection that breaks goes on where it broke", async () => {
  await withServer([broken(body, 400), whole(body)], async (address, requests) => {
    const { onBytes, total } = counted();
    expect(new Uint8Array(await download(address, 1000, onBytes))).toEqual(body);
    expect(total()).toBe(1000);
    expect(requests.map(({ headers }) => headers.range)).toEqual([undefined, "bytes=400-"]);
  });
});

test("a server without ranges starts again", async () => {
  const ignoring = whole(body);
  await withServer(
    [
      broken(body, 400),
      (request, response) => {
        delete request.headers.range;
        ignoring(request, response);
      },
    ],
    async (address) => {
      const { onBytes, total } = counted();
      expect(new Uint8Array(await download(address, 1000, onBytes))).toEqual(body);
      expect(total()).toBe(1000);
    },
  );
});

test.each([500, 503, 429])("status %i is tried again", async (code) => {
  await withServer([status(code), whole(body)], async (address) => {
    expect((await download(address, 1000, () => 0)).byteLength).toBe(1000);
  });
});

test.each([404, 403, 410])("status %i is not", async (code) => {
  await withServer([status(code)], async (address, requests) => {
    await expect(download(address, 1000, () => 0)).rejects.toThrow(`the server answered ${code}`);
    expect(requests.length).toBe(1);
  });
});

test("a server that stays silent is given up", { timeout: 20_000 }, async () => {
  await withServer([status(502)], async (address, requests) => {
    const failure = download(address, 1000, () => 0);
    await expect(failure).rejects.toThrow(UnreachableError);
    await expect(failure).rejects.toThrow("the server answered 502");
    expect(requests.length).toBe(4);
  });
});

test("a web page in a file's place is named", async () => {
  await withServer([whole(body, "text/html; charset=utf-8")], async (address) => {
    await expect(download(address, 1000, () => 0)).rejects.toThrow("the server sent a web page");
  });
});

test("a length that no array has is refused", async () => {
  await expect(download("http://127.0.0.1:1/", 2 ** 52, () => 0)).rejects.toThrow(
    /no memory for its 4503599627370496 bytes/,
  );
});

test("more bytes than the manifest states are refused", async () => {
  await withServer([whole(body)], async (address) => {
    const failure = download(address, 999, () => 0);
    await expect(failure).rejects.toThrow(FetchError);
    await expect(failure).rejects.toThrow("more than the expected 999");
  });
});

test("cancelling ends it, also while it waits", async () => {
  await withServer([status(503)], async (address) => {
    const controller = new AbortController();
    const { signal } = controller;
    const failure = download(address, 1000, () => 0, { signal });
    setTimeout(() => controller.abort(), 100);
    await expect(failure).rejects.toThrow(AbortError);
    await expect(download(address, 1000, () => 0, { signal })).rejects.toThrow(AbortError);
  });
});

test("a text that is too large is refused, and its hint speaks of no bundle", async () => {
  await withServer([whole(body)], async (address) => {
    const failure = downloadText(address, { most: 999 });
    await expect(failure).rejects.toThrow(FetchError);
    await expect(failure).rejects.toMatchObject({
      message: expect.stringMatching(/it is larger than 999 bytes$/) as unknown,
      hint: expect.not.stringContaining("bundle") as unknown,
    });
  });
});

test("a text's bytes are reported where the server says how many there are", async () => {
  const stated: Answer = (_request, response) => {
    response.writeHead(200, { "Content-Length": body.length });
    response.write(body.subarray(0, 400), () =>
      setTimeout(() => response.end(body.subarray(400)), 50),
    );
  };
  // In chunks, so that the length is not known before the end.
  const silent: Answer = (_request, response) => {
    response.writeHead(200);
    response.write(body.subarray(0, 400), () =>
      setTimeout(() => response.end(body.subarray(400)), 50),
    );
  };
  await withServer([stated, silent], async (address) => {
    for (const first of [
      [400, 1000],
      [1000, 1000],
    ]) {
      const seen: number[][] = [];
      await downloadText(address, { onLoaded: (...event) => seen.push(event) });
      expect(seen[0]).toEqual(first);
      expect(seen.at(-1)).toEqual([1000, 1000]);
    }
  });
});

test("a text, and none", async () => {
  await withServer(
    [whole(new TextEncoder().encode("{}")), status(404), status(503)],
    async (address) => {
      expect(new TextDecoder().decode(await downloadText(address))).toBe("{}");
      await expect(downloadText(address)).rejects.not.toThrow(UnreachableError);
      await expect(downloadText(address)).rejects.toThrow(UnreachableError);
    },
  );
  await expect(downloadText("http://127.0.0.1:1/")).rejects.toThrow(UnreachableError);
});
