"use client";

import { useEffect, useRef, useState } from "react";
import { WsdError } from "web-stable-diffusion";

import { usePipeline } from "./use_pipeline";

/** A field for a prompt, and its picture: the model is loaded once, and each prompt draws anew. */
export function Picture() {
  const [prompt, setPrompt] = useState("a red circle");
  const [status, setStatus] = useState("");
  const canvas = useRef<HTMLCanvasElement>(null);
  const { pipe, loaded, error } = usePipeline("/model/manifest.json");

  useEffect(() => {
    if (pipe === undefined) return;
    // The next prompt cancels this picture, and nothing else.
    const controller = new AbortController();
    const { signal } = controller;
    const onProgress = ({ overall }: { overall: number }) =>
      setStatus(`Drawing ${percent(overall)}`);
    const draw = async () => {
      const options = { numInferenceSteps: 4, seed: 7, onProgress, signal };
      const { image } = await pipe.generate(prompt, options);
      if (canvas.current === null) return;
      [canvas.current.width, canvas.current.height] = [image.width, image.height];
      canvas.current.getContext("2d")?.putImageData(image, 0, 0);
      setStatus("Done.");
    };
    draw().catch((reason: Error) => {
      if (!signal.aborted) setStatus(describe(reason));
    });
    return () => controller.abort();
  }, [pipe, prompt]);

  const loading = error === undefined ? `Loading ${percent(loaded)}` : describe(error);
  return (
    <>
      <label>
        Prompt <input value={prompt} onChange={(event) => setPrompt(event.target.value)} />
      </label>
      <canvas id="canvas" ref={canvas} role="img" aria-label={prompt} />
      <p role="status">{pipe === undefined ? loading : status}</p>
    </>
  );
}

const percent = (share: number) => `${Math.round(100 * share)} %`;

const describe = (error: Error) =>
  error instanceof WsdError ? `${error.message}; ${error.hint}` : String(error);
