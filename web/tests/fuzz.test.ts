/** What reads files that anybody may have written: never anything but what is documented. */

import { readFileSync } from "node:fs";

import fc from "fast-check";
import { expect, test } from "vitest";

import { FetchError, IntegrityError, OptionError } from "../src/util/errors";
import { BundleFiles } from "../src/bundle/bundle_files";
import { sha256 } from "../src/bundle/sha256";
import { parseIntegrity } from "../src/bundle/integrity";
import { filesOf, parseIndex, parseManifest } from "../src/bundle/manifest";
import type { Manifest } from "../src/bundle/manifest";
import { SCHEMA_VERSION } from "../src/util/constants.generated";
import { readText, writeText } from "../src/settings/png";
import { readSettings } from "../src/settings/read_settings";
import { formatSettings, parseSettings } from "../src/settings/infotext";
import type { Offer } from "../src/app/dropped_settings";
import { adopt, describe } from "../src/app/dropped_settings";
import { MemoryCache } from "./memory_cache";
import { whole, withServer } from "./server";

/** JSON of anything; of what has none, nothing. */
function stringify(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return "";
  }
}

// Few in `npm test`: `nox -s security` says how many more.
const RUNS = { numRuns: Number(process.env.WSD_FUZZ ?? 50) };

const fields = fc.oneof(fc.string(), fc.anything());
const entry = fc.record({ name: fields, title: fields, dtype: fields, manifest: fields });

test("a list of models is one, or a FetchError", () => {
  const text = fc.oneof(fc.string(), fc.json(), fc.array(entry).map(stringify));
  fc.assert(
    fc.property(text, (given) => {
      try {
        for (const model of parseIndex(given, "url")) expect(model.manifest).toBeTypeOf("string");
      } catch (error) {
        expect(error).toBeInstanceOf(FetchError);
      }
    }),
    RUNS,
  );
  const model = { name: "a", title: "b", dtype: "f32", manifest: "a/" };
  expect(parseIndex(JSON.stringify([model]), "url")).toEqual([model]);
});

test("a manifest is one of this version, or a FetchError", () => {
  const text = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record({ schema_version: fc.oneof(fc.constant(SCHEMA_VERSION), fc.anything()) })
      .map(stringify),
  );
  fc.assert(
    fc.property(text, (given) => {
      try {
        expect(parseManifest(given, "url").schema_version).toBe(SCHEMA_VERSION);
      } catch (error) {
        expect(error).toBeInstanceOf(FetchError);
      }
    }),
    RUNS,
  );
});

test("whatever a manifest or a list says, each address is of a file beside it", () => {
  const base = "https://a.example/models/m/manifest.json";
  const fixture = JSON.parse(
    readFileSync("../tests/fixtures/manifest-v2.json", "utf8"),
  ) as Manifest;
  const odd = fc.oneof(
    fc.anything(),
    fc.string(),
    fc.webUrl(),
    fc.stringMatching(/^[./\\:a-z@%?#]{1,12}$/),
    fc.constantFrom("..", ".", "\\\\a\\b", "a\u2028b", "CON.txt", "javascript:1", "%2e%2e/x"),
  );
  const file = fc.record({ file: odd, bytes: odd, sha256: odd }, { requiredKeys: [] });
  const entry = fc.oneof(
    odd,
    file.map((change) => ({ ...fixture.library, ...change })),
    odd.map((name) => ({ ...fixture.library, file: name })),
  );
  const change = fc.oneof(
    fc.record({ library: entry }),
    fc.record({ kernels: entry }),
    fc.record({ tokenizers: fc.oneof(odd, fc.dictionary(fc.string(), entry)) }),
    fc.record({
      components: fc.oneof(odd, fc.dictionary(fc.string(), fc.record({ shards: fc.array(entry) }))),
    }),
  );
  fc.assert(
    fc.property(change, (changed) => {
      try {
        for (const { file } of filesOf(
          parseManifest(stringify({ ...fixture, ...changed }), base),
        )) {
          expect(new URL(file, base).href).toBe(`https://a.example/models/m/${file}`);
        }
      } catch (error) {
        if (!(error instanceof FetchError)) throw error;
      }
    }),
    RUNS,
  );
  const listed = odd.map((manifest) => [{ name: "a", title: "b", dtype: "f32", manifest }]);
  fc.assert(
    fc.property(listed, (entries) => {
      try {
        for (const { manifest } of parseIndex(stringify(entries), base)) {
          expect(new URL(manifest, base).href).toBe(`https://a.example/models/m/${manifest}`);
        }
      } catch (error) {
        if (!(error instanceof FetchError)) throw error;
      }
    }),
    RUNS,
  );
});

test("an integrity text is read or refused, and never accepts what it does not say", () => {
  const text = fc.oneof(
    fc.string(),
    fc.base64String().map((digest) => `sha384-${digest}`),
  );
  fc.assert(
    fc.property(text, (given) => {
      try {
        for (const digest of parseIntegrity(given).digests) expect(given).toContain(digest);
      } catch (error) {
        expect(error).toBeInstanceOf(OptionError);
      }
    }),
    RUNS,
  );
});

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

function chunk(type: string, data: Uint8Array): number[] {
  const length = new Uint8Array(new Uint32Array([data.length]).buffer).reverse();
  return [...length, ...new TextEncoder().encode(type), ...data, 0, 0, 0, 0];
}

const type = fc.constantFrom("IHDR", "tEXt", "iTXt", "IDAT");
const data = fc.uint8Array({ maxLength: 60 });
const keyed = fc.tuple(fc.constantFrom("parameters", "Title", ""), data).map(([key, rest]) => {
  return new Uint8Array([...new TextEncoder().encode(key), 0, ...rest]);
});

test("the text of any PNG is text or nothing", () => {
  const parts = fc.array(fc.tuple(type, fc.oneof(data, keyed)), { maxLength: 4 });
  fc.assert(
    fc.property(parts, fc.nat(), fc.nat(255), (chunks, at, byte) => {
      const png = new Uint8Array([...SIGNATURE, ...chunks.flatMap(([t, d]) => chunk(t, d))]);
      png[at % png.length] = byte;
      const text = readText(png.subarray(0, png.length - (at % 7)));
      expect(["string", "undefined"]).toContain(typeof text);
      if (text !== undefined) expect(parseSettings(text)).toBeTypeOf("object");
    }),
    RUNS,
  );
});

const keyword = fc.constantFrom(
  ...["parameters", "prompt", "workflow", "invokeai_metadata", "sd-metadata", "Comment"],
);
const name = fc.constantFrom(
  ...["class_type", "inputs", "positive", "latent_image", "cfg", "text", "nodes", "links", "seed"],
  ...["steps", "scheduler", "image", "prompt", "sui_image_params", "1", "__proto__", "constructor"],
);
const { tree } = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 5 },
    fc.oneof(fc.string(), fc.double(), fc.bigInt().map(String), fc.constantFrom(null, "1", 7)),
    fc.array(tie("tree"), { maxLength: 3 }),
    fc.dictionary(name, tie("tree"), { maxKeys: 6 }),
  ),
}));

test("the settings of any picture are settings or none, and the form takes what it offers", async () => {
  const offer = {
    ...{ model: { name: "m", source: "m" }, sizes: [[64, 64]], scheduler: "ddim" },
    ...{ schedulers: { ddim: { title: "DDIM", max_steps: 100 } }, guidance: { min: 0, max: 50 } },
    ...{ eta: 0, maxImages: 16, steps: 20, takesNegativePrompt: true },
    ...{ size: "64x64", takesPicture: true, hasPicture: true },
  } as unknown as Offer;
  const text = fc.oneof(fc.string(), tree.map(stringify), fc.string({ unit: "grapheme" }));
  await fc.assert(
    fc.asyncProperty(keyword, text, fc.boolean(), async (key, given, steps) => {
      const data = new TextEncoder().encode(`${key}\0\0\0\0\0${given}${steps ? "\nSteps: 1" : ""}`);
      const found = await readSettings(new Uint8Array([...SIGNATURE, ...chunk("iTXt", data)]));
      if (found === undefined) return;
      const adopted = adopt(found, offer);
      const { fields } = adopted;
      expect(describe(adopted, "it.png")).toMatch(/ettings taken from it\.png/);
      expect(["64x64", undefined]).toContain(fields.size);
      expect(["ddim", undefined]).toContain(fields.scheduler);
      if (fields.steps !== undefined) expect(Number(fields.steps)).toBeGreaterThanOrEqual(1);
    }),
    RUNS,
  );
});

test("a chunk longer than a stack", () => {
  const long = new Uint8Array(1_000_000).fill(1);
  expect(readText(new Uint8Array([...SIGNATURE, ...chunk("IDAT", long)]))).toBeUndefined();
  const text = new Uint8Array([...new TextEncoder().encode("parameters\0"), ...long]);
  expect(readText(new Uint8Array([...SIGNATURE, ...chunk("tEXt", text)]))).toHaveLength(1_000_000);
});

test("settings written are settings read, whatever the prompt", () => {
  const line = fc.string({ unit: "grapheme" }).map((text) => text.replace(/[\n\r\0]/g, " "));
  const png = new Uint8Array([...SIGNATURE, ...chunk("IHDR", new Uint8Array(13))]);
  fc.assert(
    fc.property(line, fc.nat(2 ** 32 - 1), (prompt, seed) => {
      fc.pre(!prompt.startsWith("Negative prompt:") && !prompt.startsWith("Steps: "));
      const settings = {
        ...{ prompt, negativePrompt: undefined, steps: 20, scheduler: "ddim", guidanceScale: 3 },
        ...{ seed, width: 64, height: 64, model: "m", eta: 0 },
      };
      const read = parseSettings(readText(writeText(png, formatSettings(settings)))!);
      expect(read).toMatchObject({ seed, steps: 20, scheduler: "ddim" });
      expect(read.prompt?.trim() ?? "").toBe(prompt.trim());
    }),
    RUNS,
  );
});

test("whatever the store gives, only the file's own bytes come out", async () => {
  const body = new TextEncoder().encode("abc");
  const entry = { file: "a.bin", bytes: 3, sha256: await sha256(body.buffer) };
  await withServer([whole(body)], async (address) => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 5 }), async (kept) => {
        const store = new MemoryCache();
        store.kept.set(entry.sha256, kept.slice().buffer);
        const files = new BundleFiles(address, store, new Map(), () => undefined);
        expect(new Uint8Array(await files.get(entry, () => undefined))).toEqual(body);
      }),
      { numRuns: 50 },
    );
  });
});

test("whatever the server gives, only the file's own bytes come out", async () => {
  const body = new TextEncoder().encode("abc");
  const entry = { file: "a.bin", bytes: 3, sha256: await sha256(body.buffer) };
  const bytes = fc.oneof(fc.constant(body), fc.uint8Array({ minLength: 3, maxLength: 3 }));
  await fc.assert(
    fc.asyncProperty(bytes, async (sent) => {
      await withServer([whole(sent)], async (address) => {
        const files = new BundleFiles(address, new MemoryCache(), new Map(), () => undefined);
        const got = files.get(entry, () => undefined);
        if (sent.every((byte, index) => byte === body[index])) {
          expect(new Uint8Array(await got)).toEqual(body);
        } else await expect(got).rejects.toThrow(IntegrityError);
      });
    }),
    { numRuns: 20 },
  );
});
