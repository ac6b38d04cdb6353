import { StableDiffusionPipeline } from "web-stable-diffusion";

const canvas = document.getElementById("canvas");
const status = document.getElementById("status");
const onProgress = ({ stage, loaded, total }) => (status.textContent = `${stage} ${loaded}/${total}`);
const pipe = await StableDiffusionPipeline.fromPretrained("model/manifest.json", { onProgress });
const { image } = await pipe.generate("a red circle", { numInferenceSteps: 4, seed: 7, onProgress });
[canvas.width, canvas.height] = [image.width, image.height];
canvas.getContext("2d").putImageData(image, 0, 0);
await pipe.unload();
status.textContent = "Done.";
