/**
 * What tests/e2e/test_given_files.py does with pictures in a page: files that the browser decodes,
 * and pictures that are drawn from. Arguments and results are JSON; bytes are in base64.
 */

import { importModule } from "../../src/driver/import_module";
import type { DrawOptions, ImageInput, WsdError } from "../../src/index";
import type * as Client from "../../src/index";

/** Pixels: red, green, blue and alpha. */
interface SentPixels {
  width: number;
  height: number;
  data: string;
}

/** A picture as a test sends it: a file, or pixels, and what is made of them. */
type Sent =
  | { kind: "file"; data: string; type: string }
  | ({ kind: "pixels" | "canvas" | "offscreen" | "bitmap" | "img" } & SentPixels);

interface Failure {
  error: string;
  message: string;
  hint: string;
}

const client = (): Promise<typeof Client> => importModule("/client.js") as Promise<typeof Client>;

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function encode(data: ArrayLike<number>): string {
  return btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
}

function send({ width, height, data }: ImageData): SentPixels {
  return { width, height, data: encode(data) };
}

async function makeInput(sent: Sent): Promise<ImageInput> {
  if (sent.kind === "file") return new File([bytes(sent.data)], "picture", { type: sent.type });
  const { width, height, kind } = sent;
  const pixels = new ImageData(new Uint8ClampedArray(bytes(sent.data)), width, height);
  if (kind === "pixels") return pixels;
  if (kind === "bitmap") return createImageBitmap(pixels);
  const canvas =
    kind === "offscreen" ? new OffscreenCanvas(width, height) : document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  (canvas.getContext("2d") as CanvasRenderingContext2D).putImageData(pixels, 0, 0);
  if (kind === "canvas" || kind === "offscreen") return canvas;
  const image = new Image();
  image.src = (canvas as HTMLCanvasElement).toDataURL();
  await image.decode();
  return image;
}

function failureOf(error: unknown): Failure {
  const { name, message, hint } = error as WsdError;
  return { error: name, message, hint };
}

/** Read a picture as a page does. */
async function read(sent: Sent): Promise<SentPixels | Failure> {
  const { readPicture } = await client();
  try {
    return send(await readPicture(await makeInput(sent)));
  } catch (error) {
    return failureOf(error);
  }
}

let pipe: Client.StableDiffusionPipeline;

async function load(manifest: string): Promise<void> {
  pipe = await (await client()).StableDiffusionPipeline.fromPretrained(manifest);
}

/** What a test learns of one call. */
interface Drawn {
  images: SentPixels[];
  latents: number[];
  picture: (Omit<Client.PictureReport, "before"> & { before: SentPixels }) | null;
  settings: Client.Settings;
  found: Client.FoundSettings | null;
  stages: string[];
  overall: number[];
}

/** Draw, from a picture and a mask if they are given. */
async function draw(
  prompt: string,
  options: DrawOptions,
  image?: Sent,
  mask?: Sent,
): Promise<Drawn | Failure> {
  const [stages, overall]: [string[], number[]] = [[], []];
  try {
    const result = await pipe.generate(prompt, {
      ...options,
      image: image && (await makeInput(image)),
      mask: mask && (await makeInput(mask)),
      onProgress: (event) => {
        const name = event.pass === undefined ? event.stage : `${event.stage} ${event.pass}`;
        if (stages.at(-1) !== name) stages.push(name);
        overall.push(event.overall);
      },
    });
    const { readSettings } = await client();
    const { picture } = result;
    return {
      images: result.images.map(send),
      latents: Array.from(result.latents),
      picture: picture === undefined ? null : { ...picture, before: send(picture.before) },
      settings: result.settings,
      found: (await readSettings(await result.toBlob())) ?? null,
      stages,
      overall,
    };
  } catch (error) {
    return failureOf(error);
  }
}

/** Encode a picture twice: a sample, and the mean. */
async function encodeImage(image: Sent, seed: number): Promise<Record<string, number[]>> {
  const input = await makeInput(image);
  const sample = await pipe.encodeImage(input, { posterior: "sample", seed });
  const mode = await pipe.encodeImage(input);
  return { sample: Array.from(sample.latents), mode: Array.from(mode.latents) };
}

/**
 * Begin a call whose picture does not decode while another call runs, and say which ended first and
 * whether the model draws afterwards.
 */
async function refuseInTime(prompt: string, image: Sent): Promise<string[]> {
  const ended: string[] = [];
  const options = { numInferenceSteps: 50, seed: 1 };
  const first = pipe.generate(prompt, options).then(() => ended.push("drawn"));
  const broken = pipe
    .generate(prompt, { ...options, image: await makeInput(image) })
    .catch((error: unknown) => ended.push((error as Error).name));
  const last = pipe
    .generate(prompt, { ...options, numInferenceSteps: 1 })
    .then(() => ended.push("drawn after"));
  await Promise.all([first, broken, last]);
  return ended;
}

(globalThis as Record<string, unknown>).wsdPictures = {
  ...{ read, load, draw, encodeImage, refuseInTime },
};
