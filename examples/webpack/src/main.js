import { StableDiffusionPipeline } from "web-stable-diffusion";

const canvas = document.getElementById("canvas");
const status = document.getElementById("status");
const onProgress = ({ stage, loaded, total }) => {
  status.textContent = `${stage} ${loaded}/${total}`;
};

async function draw(prompt) {
  const pipe = await StableDiffusionPipeline.fromPretrained("model/manifest.json", { onProgress });
  try {
    const options = { numInferenceSteps: 4, seed: 7, onProgress };
    const { image } = await pipe.generate(prompt, options);
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").putImageData(image, 0, 0);
    status.textContent = "Done.";
  } finally {
    await pipe.unload();
  }
}

draw("a red circle").catch((error) => {
  status.textContent = `${error.message}; ${error.hint ?? "reload the page"}`;
});
