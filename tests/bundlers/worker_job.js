// A program's own worker, which draws and has no document.
import { StableDiffusionPipeline } from "web-stable-diffusion";

self.onmessage = async ({ data: { manifest } }) => {
  try {
    const pipe = await StableDiffusionPipeline.fromPretrained(manifest);
    const result = await pipe.generate("a red circle", { numInferenceSteps: 4, seed: 7 });
    await pipe.unload();
    self.postMessage(result);
  } catch (error) {
    self.postMessage({ error: `${error.name}: ${error.message}; ${error.hint}` });
  }
};
