// A component as React recommends it, mounted twice by StrictMode.
import { createElement, StrictMode, useEffect, useRef, useState } from "react";
import { createRoot } from "react-dom/client";
import { StableDiffusionPipeline } from "web-stable-diffusion";

function Picture({ prompt }) {
  const canvas = useRef(null);
  const [status, setStatus] = useState("");
  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    async function draw() {
      const pipe = await StableDiffusionPipeline.fromPretrained("model/manifest.json", { signal });
      try {
        const options = { numInferenceSteps: 4, seed: 7, signal };
        const { image } = await pipe.generate(prompt, options);
        [canvas.current.width, canvas.current.height] = [image.width, image.height];
        canvas.current.getContext("2d").putImageData(image, 0, 0);
        setStatus("Done.");
      } finally {
        await pipe.unload();
      }
    }
    draw().catch((error) => signal.aborted || setStatus(`${error.message}; ${error.hint}`));
    return () => controller.abort();
  }, [prompt]);
  return createElement(
    "main",
    null,
    createElement("canvas", { id: "canvas", ref: canvas }),
    createElement("p", { role: "status" }, status),
  );
}

const page = createElement(StrictMode, null, createElement(Picture, { prompt: "a red circle" }));
createRoot(document.getElementById("root")).render(page);
