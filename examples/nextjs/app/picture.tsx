"use client";

import { useEffect, useRef, useState } from "react";
import { StableDiffusionPipeline, WsdError, type OnProgress } from "web-stable-diffusion";

export function Picture({ prompt }: { prompt: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [status, setStatus] = useState("");

  useEffect(() => {
    // React runs effects twice in development: what the first began is ended by its clean-up.
    const controller = new AbortController();
    const { signal } = controller;
    const onProgress: OnProgress = ({ stage, loaded, total }) => {
      if (!signal.aborted) setStatus(`${stage} ${loaded}/${total}`);
    };
    async function draw() {
      const address = "/model/manifest.json";
      const pipe = await StableDiffusionPipeline.fromPretrained(address, { onProgress, signal });
      try {
        const options = { numInferenceSteps: 4, seed: 7, onProgress, signal };
        const { image } = await pipe.generate(prompt, options);
        const { current } = canvas;
        if (current === null) return;
        [current.width, current.height] = [image.width, image.height];
        current.getContext("2d")?.putImageData(image, 0, 0);
        setStatus("Done.");
      } finally {
        await pipe.unload();
      }
    }
    draw().catch((error: Error) => {
      if (signal.aborted) return;
      setStatus(error instanceof WsdError ? `${error.message}; ${error.hint}` : `${error}`);
    });
    return () => controller.abort();
  }, [prompt]);

  return (
    <>
      <canvas id="canvas" ref={canvas} role="img" aria-label={prompt} />
      <p role="status">{status}</p>
    </>
  );
}
