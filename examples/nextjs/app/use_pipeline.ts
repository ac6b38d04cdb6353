// A React hook that gives a component the pipeline of a model.

import { useEffect, useState } from "react";
import { StableDiffusionPipeline } from "web-stable-diffusion";

interface Loading {
  /** Share of the model that is loaded, 0 to 1. */
  loaded: number;
  pipe?: StableDiffusionPipeline;
  error?: Error;
}

/** Load a model once for a component, and unload it when the component is removed. */
export function usePipeline(manifestUrl: string): Loading {
  const [loading, setLoading] = useState<Loading>({ loaded: 0 });
  useEffect(() => {
    // React mounts components twice in development: the first mount's model is unloaded as well.
    const controller = new AbortController();
    const { signal } = controller;
    const update = (next: Loading) => {
      if (!signal.aborted) setLoading(next);
    };
    const onProgress = ({ overall }: { overall: number }) => update({ loaded: overall });
    const promise = StableDiffusionPipeline.fromPretrained(manifestUrl, { onProgress, signal });
    promise.then(
      (pipe) => update({ loaded: 1, pipe }),
      (error: Error) => update({ loaded: 0, error }),
    );
    return () => {
      setLoading({ loaded: 0 });
      controller.abort();
      promise.then((pipe) => pipe.unload()).catch(() => undefined);
    };
  }, [manifestUrl]);
  return loading;
}
