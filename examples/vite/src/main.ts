// Draws what a form says; a new picture cancels the one before it.

import { StableDiffusionPipeline, WsdError, type OnProgress } from "web-stable-diffusion";

const form = document.querySelector("form")!;
const canvas = document.querySelector("canvas")!;
const status = document.querySelector("p")!;

const onProgress: OnProgress = ({ stage, loaded, total }) => {
  status.textContent = `${stage} ${loaded}/${total}`;
};
// The address is relative to the page. Loading begins at once; drawing waits for it.
const loading = StableDiffusionPipeline.fromPretrained("model/manifest.json", { onProgress });

let drawing = new AbortController();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  // The picture that was begun is not wanted any more.
  drawing.abort();
  drawing = new AbortController();
  void draw(String(new FormData(form).get("prompt")), drawing.signal);
});

async function draw(prompt: string, signal: AbortSignal): Promise<void> {
  try {
    const pipe = await loading;
    const options = { numInferenceSteps: 4, seed: 7, onProgress, signal };
    const { image } = await pipe.generate(prompt, options);
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d")!.putImageData(image, 0, 0);
    status.textContent = "Done.";
  } catch (error) {
    if (signal.aborted) return;
    status.textContent = error instanceof WsdError ? `${error.message}; ${error.hint}` : `${error}`;
  }
}
