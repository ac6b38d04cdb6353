// Draws the picture that all rows of the matrix draw.
import { StableDiffusionPipeline } from "web-stable-diffusion";

export async function draw(loadOptions) {
  const canvas = document.getElementById("canvas");
  const status = document.getElementById("status");
  try {
    const pipe = await StableDiffusionPipeline.fromPretrained("model/manifest.json", loadOptions);
    const { image } = await pipe.generate("a red circle", { numInferenceSteps: 4, seed: 7 });
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").putImageData(image, 0, 0);
    await pipe.unload();
    status.textContent = "Done.";
  } catch (error) {
    status.textContent = `${error.name}: ${error.message}; ${error.hint}`;
  }
}
