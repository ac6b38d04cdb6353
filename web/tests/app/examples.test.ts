// @vitest-environment happy-dom
/** Examples: buttons with pictures, each of which takes the settings that drew it. */

import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

import { beforeEach, expect, test, vi } from "vitest";

import { adopt } from "../../src/app/dropped_settings";
import type { Example } from "../../src/app/examples";
import { fillExamples } from "../../src/app/examples";
import type { ExamplePicture, Preflight } from "../../src/index";
import { readSettings } from "../../src/index";
import { openPage } from "./page_document";

const PAIRS = "Steps: 7, Sampler: Euler, CFG scale: 3, Seed: 11, Size: 16x16, Model: other";
const BYTES = new TextEncoder().encode("RIFF----WEBP");
/** SHA-256 of these bytes, as the manifest and as `fetch` has it. */
const SHA256 = "9783d4d9e38d917353b2c848b71afe909374e4c58bb9601f2ffb5ee6a4f38619";
const INTEGRITY = "sha256-l4PU2eONkXNTsshItxr+kJN05MWLuWAfL/te5qTzhhk=";

function picture(prompt: string): ExamplePicture {
  const settings = `${prompt}\nNegative prompt: a dog\n${PAIRS}`;
  return { file: `${prompt}.webp`, bytes: BYTES.length, sha256: SHA256, prompt, settings };
}

/** What was asked for, and how; a test says what is answered. */
const asked: [string, RequestInit | undefined][] = [];
const answer = vi.fn(() => Promise.resolve(new Response(BYTES)));

vi.stubGlobal("fetch", (url: URL, options?: RequestInit) => {
  asked.push([url.href, options]);
  return answer();
});

const chosen: Example[] = [];

/** Show examples; their pictures arrive later. */
function show(examples: string[], pictures?: ExamplePicture[]): void {
  const manifest = { examples, ...(pictures && { example_pictures: pictures }) };
  const manifestUrl = "https://example.org/models/speck/manifest.json?token=1";
  fillExamples({ manifest: manifest as Preflight["manifest"], manifestUrl }, (example) => {
    chosen.push(example);
  });
}

const items = (): string[] =>
  [...document.querySelectorAll<HTMLElement>("#examples li")].map(
    (item) =>
      `${item.textContent}${item.querySelector("img[alt='']") === null ? "" : ", pictured"}`,
  );
const click = (index: number): void => {
  document.querySelectorAll<HTMLElement>("#examples button")[index]!.click();
};

beforeEach(() => {
  [asked.length, chosen.length] = [0, 0];
  answer.mockReset().mockImplementation(() => Promise.resolve(new Response(BYTES)));
  openPage("index.html");
});

test("examples of older manifests are texts, of which five are shown", () => {
  show(["a", "b", "c", "d", "e", "f"]);
  expect(items()).toEqual(["a", "b", "c", "d", "e"]);
  expect(asked).toEqual([]);
  click(1);
  expect(chosen).toEqual([{ prompt: "b", settings: undefined }]);
  show([]);
  expect(document.getElementById("examples-row")!.hidden).toBe(true);
});

test("a picture is fetched with its digest from beside the manifest", async () => {
  show(["a", "b"], [picture("b")]);
  const image = document.querySelector("img")!;
  await expect.poll(() => image.src).toMatch(/^blob:/);
  expect(items()).toEqual(["a", "b, pictured"]);
  expect(asked).toEqual([
    ["https://example.org/models/speck/b.webp?token=1", { integrity: INTEGRITY, priority: "low" }],
  ]);
  // A picture that cannot be decoded gives way to the text.
  image.dispatchEvent(new Event("error"));
  expect(items()).toEqual(["a", "b"]);
});

test.each([
  ["away", () => Promise.reject(new TypeError("Failed to fetch"))],
  ["missing", () => Promise.resolve(new Response("", { status: 404 }))],
])("a picture that is %s leaves its text", async (_, answered) => {
  answer.mockImplementation(answered);
  show(["a"], [picture("a")]);
  expect(items()).toEqual(["a, pictured"]);
  await expect.poll(items).toEqual(["a"]);
  click(0);
  expect(chosen[0]?.settings?.seed).toBe(11);
});

test("a click takes all that drew the picture, which is of this model by whatever name", () => {
  show(["a"], [picture("a")]);
  click(0);
  expect(chosen).toMatchObject([
    {
      prompt: "a",
      settings: { prompt: "a", negativePrompt: "a dog", steps: 7, seed: 11, model: undefined },
    },
  ]);
});

test.each([
  { name: "tiny-sd15", size: 128, scheduler: "dpmpp_2m", steps: 20, seed: 1 },
  { name: "tiny-sdxl", size: 192, scheduler: "dpmpp_2m", steps: 20, seed: 1 },
  { name: "tiny-sd35", size: 128, scheduler: "flow_euler", steps: 28, seed: 3 },
])(
  "the form takes everything of $name's pictures",
  async ({ name, size, scheduler, steps, seed }) => {
    const root = path.join(import.meta.dirname, "../../../wsd/models/tiny/checkpoints", name);
    const folder = path.join(root, "example-pictures");
    /* eslint-disable security/detect-non-literal-fs-filename -- the repository's own pictures */
    const files = readdirSync(folder);
    expect(files).toHaveLength(6);
    for (const file of files) {
      const found = await readSettings(new Uint8Array(readFileSync(path.join(folder, file))));
      /* eslint-enable security/detect-non-literal-fs-filename */
      const adopted = adopt(found!, {
        ...{ model: { name } as Preflight["manifest"]["model"], scheduler, eta: 0 },
        schedulers: { [scheduler]: { title: "", max_steps: 100, algorithm: "" } } as never,
        ...{ sizes: [[size, size]], steps, maxImages: 16, takesNegativePrompt: true },
        ...{ takesSecondPrompt: false, takesThirdPrompt: false, maxClipSkip: 0 },
        ...{ hasDeepCache: false, size: `${size}x${size}`, takesPicture: true, hasPicture: false },
        guidance: { min: 0, max: 50 },
      });
      expect(adopted).toMatchObject({ changed: [], refused: [], remarks: [] });
      expect(adopted.fields).toMatchObject({
        seed: `${seed}`,
        steps: `${steps}`,
        guidance: "3",
      });
    }
  },
);
