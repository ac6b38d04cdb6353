// Calls the package as a page does in a browser without WebGPU, and shows what comes of it.
import {
  formatSettings,
  preflight,
  readSettings,
  StableDiffusionPipeline,
  writeText,
} from "./package/dist/client.js";

const describe = ({ name, message, hint }) => ({ name, message, hint });
const MANIFEST = "model/manifest.json";

async function usePackage() {
  const { problems, adapter, bytes } = await preflight(MANIFEST);
  // The worker starts, and says it too.
  const refusal = await StableDiffusionPipeline.fromPretrained(MANIFEST).catch(describe);
  const element = document.querySelector("stable-diffusion-image");
  if (element.error === undefined) {
    await new Promise((resolve) => element.addEventListener("error", resolve, { once: true }));
  }
  return {
    preflight: { problems: problems.map(describe), adapter: adapter ?? null, bytes },
    refusal,
    element: {
      error: describe(element.error),
      content: element.innerText.trim(),
      status: element.shadowRoot.querySelector("[role=status]").innerText,
    },
    settings: await readSettings(await makePng()),
  };
}

/** A PNG that Firefox's own canvas makes, with settings that the package writes into it. */
async function makePng() {
  const canvas = new OffscreenCanvas(8, 8);
  canvas.getContext("2d").fillRect(0, 0, 4, 4);
  const png = new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer());
  const settings = {
    prompt: "a red circle",
    negativePrompt: "blurry",
    steps: 4,
    guidanceScale: 7.5,
    eta: 0,
    seed: 2n ** 63n,
    width: 64,
    height: 64,
    scheduler: "ddim",
    model: "speck",
  };
  return new Blob([writeText(png, formatSettings(settings))], { type: "image/png" });
}

const result = await usePackage().catch((error) => ({ error: String(error), stack: error.stack }));
// A seed of 64 bits is a bigint, which JSON cannot hold.
document.getElementById("result").textContent = JSON.stringify(result, (_key, value) =>
  typeof value === "bigint" ? String(value) : value,
);
