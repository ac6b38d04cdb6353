// @vitest-environment happy-dom
/** When the custom element draws, and what it says where it cannot, with a pipeline of the test. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { StableDiffusionImage } from "../src/element";
import { OptionError, StableDiffusionPipeline } from "../src/index";

/** Calls of generate that the test has not ended yet. */
let calls: { prompt: string; signal: AbortSignal; finish: () => void }[] = [];

const pipeline = {
  generate: (prompt: string, { signal }: { signal: AbortSignal }) =>
    new Promise((resolve) => {
      const image = { width: 1, height: 1, data: new Uint8ClampedArray(4) };
      calls.push({ prompt, signal, finish: () => resolve({ image }) });
    }),
  unload: () => Promise.resolve(),
} as unknown as StableDiffusionPipeline;

beforeEach(() => {
  calls = [];
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue({
    putImageData: () => undefined,
  } as never);
});
afterEach(() => {
  document.body.replaceChildren();
  vi.restoreAllMocks();
});

/** Put an element into the page. */
function place(attributes: Record<string, string>): StableDiffusionImage {
  const element = document.createElement("stable-diffusion-image");
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  document.body.append(element);
  return element;
}

/** Wait for an event of an element. */
async function heard(element: HTMLElement, type: string): Promise<void> {
  await new Promise((resolve) => element.addEventListener(type, resolve, { once: true }));
}

test.each(["http://[", "https://"])("the address %s is refused with a hint", async (src) => {
  const element = place({ src, prompt: "a star" });
  await heard(element, "error");
  expect(element.error).toBeInstanceOf(OptionError);
  expect(element.shadowRoot!.querySelector("p")!.textContent).toContain("manifest.json");
});

test("an attribute that is set to the value that it has draws nothing anew", async () => {
  const load = vi.spyOn(StableDiffusionPipeline, "fromPretrained").mockResolvedValue(pipeline);
  const element = place({ src: "model/", prompt: "a star", seed: "7", alt: "one" });
  await vi.waitFor(() => expect(calls.length).toBe(1));
  element.setAttribute("prompt", "a star");
  element.setAttribute("seed", "7");
  element.src = "model/";
  await new Promise((done) => setTimeout(done));
  expect(calls[0]!.signal.aborted).toBe(false);
  calls[0]!.finish();
  await heard(element, "load");
  element.setAttribute("prompt", "a star");
  await new Promise((done) => setTimeout(done));
  expect(calls.length).toBe(1);
  // One that changes does, and once for all that change at the same time.
  element.prompt = "a moon";
  element.setAttribute("seed", "8");
  await vi.waitFor(() => expect(calls.length).toBe(2));
  expect(calls[1]!.prompt).toBe("a moon");
  element.prompt = "a sun";
  await vi.waitFor(() => expect(calls.length).toBe(3));
  expect(calls[1]!.signal.aborted).toBe(true);
  expect(load).toHaveBeenCalledOnce();
});

test("without a change, draw() draws another picture", async () => {
  vi.spyOn(StableDiffusionPipeline, "fromPretrained").mockResolvedValue(pipeline);
  const element = place({ src: "other/", prompt: "a star" });
  await vi.waitFor(() => expect(calls.length).toBe(1));
  calls[0]!.finish();
  await heard(element, "load");
  element.draw();
  await vi.waitFor(() => expect(calls.length).toBe(2));
});
