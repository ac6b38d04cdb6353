/**
 * What tests/e2e/test_calls.py does with pipelines in a page: several calls at once, cancelled,
 * unloaded and lost. Arguments and results are JSON.
 */

import { importModule } from "../../src/driver/import_module";
import type { DrawOptions, LoadOptions, ProgressEvent, Usage } from "../../src/index";
import type * as Client from "../../src/index";

/** What became of a call: its latents, or the error's name, and whether it has a hint. */
type Outcome = { latents: number[] } | { name: string; hint: boolean };

const PROMPT = "a large red circle";
const pipes = new Map<string, Client.StableDiffusionPipeline>();
const controllers = new Map<string, AbortController>();
let notices: string[] = [];

/** Load a model under a name; another name loads it once more. */
async function load(name: string, manifest: string, options: LoadOptions = {}): Promise<void> {
  const client = (await importModule("/client.js")) as typeof Client;
  const onNotice = (notice: string): number => notices.push(notice);
  const given = { ...options, onNotice };
  pipes.set(name, await client.StableDiffusionPipeline.fromPretrained(manifest, given));
}

/** Make a signal under a name. */
function makeSignal(name: string): AbortSignal {
  controllers.set(name, new AbortController());
  return controllers.get(name)!.signal;
}

async function outcomeOf(call: Promise<Client.Generated>): Promise<Outcome> {
  try {
    return { latents: Array.from((await call).latents) };
  } catch (error) {
    const { name, hint } = error as Client.WsdError;
    return { name, hint: typeof hint === "string" && hint !== "" };
  }
}

async function draw(name: string, options: DrawOptions = {}): Promise<Outcome> {
  const given = { numInferenceSteps: 2, seed: 3, ...options };
  return outcomeOf(pipes.get(name)!.generate(PROMPT, given));
}

/** Draw, and do something when a step of a long picture is done. */
async function drawUntil(name: string, signal: AbortSignal, then: () => void): Promise<Outcome> {
  const onProgress = ({ stage, loaded }: ProgressEvent): void => {
    if (stage === "denoise" && loaded === 1) then();
  };
  return draw(name, { numInferenceSteps: 100, signal, onProgress });
}

/** A signal aborted before, which must change nothing; one in time; and then a picture as usual. */
async function abortedBefore(name: string): Promise<{ outcomes: Outcome[]; usage: Usage[] }> {
  const before = await pipes.get(name)!.usage();
  const outcomes = [await draw(name, { numInferenceSteps: 100, signal: AbortSignal.abort() })];
  const after = await pipes.get(name)!.usage();
  outcomes.push(await draw(name, { signal: AbortSignal.timeout(100), numInferenceSteps: 100 }));
  outcomes.push(await draw(name));
  return { outcomes, usage: [before, after] };
}

/** Four calls at once: the first is cancelled while it runs, the second while it waits. */
async function cancelTwoOfFour(name: string): Promise<{ outcomes: Outcome[]; late: number }> {
  let [rejected, late] = [false, 0];
  const running = makeSignal("running");
  const onProgress = ({ stage, loaded }: ProgressEvent): void => {
    if (rejected) late += 1;
    if (stage !== "denoise" || loaded !== 1) return;
    controllers.get("waiting")!.abort(new RangeError("not wanted any more"));
    controllers.get("running")!.abort();
  };
  const options = { numInferenceSteps: 100, signal: running, onProgress };
  const first = draw(name, options).finally(() => (rejected = true));
  const calls = [first, draw(name, { signal: makeSignal("waiting") }), draw(name), draw(name)];
  return { outcomes: await Promise.all(calls), late };
}

/** Unload while one call runs, one waits and one is cancelled. */
async function unloadAmid(name: string): Promise<{ outcomes: Outcome[]; after: Outcome[] }> {
  const pipe = pipes.get(name)!;
  let unloaded: Promise<unknown> | undefined;
  const first = drawUntil(name, makeSignal("kept"), () => {
    controllers.get("waiting")!.abort();
    unloaded = Promise.all([pipe.unload(), pipe.unload(), pipe[Symbol.asyncDispose]()]);
  });
  const calls = [first, draw(name, { signal: makeSignal("waiting") }), draw(name)];
  const outcomes = await Promise.all(calls);
  await unloaded;
  await pipe.unload();
  return { outcomes, after: [await draw(name)] };
}

/** Lose the GPU (faults/device_loss.ts) while a picture is drawn and two others wait. */
async function loseAmid(name: string): Promise<Outcome[]> {
  const lose = (): void => new BroadcastChannel("lose-device").postMessage(0);
  const first = drawUntil(name, makeSignal("kept"), lose);
  return Promise.all([first, draw(name), draw(name)]);
}

/** Have the worker compute in circles (faults/endless_loop.ts), cancel, and draw. */
async function hangAmid(name: string): Promise<{ outcomes: Outcome[]; rejectedAfter: number }> {
  const channel = new BroadcastChannel("endless-loop");
  const understood = new Promise((resolve) => (channel.onmessage = resolve));
  channel.postMessage("begin");
  await understood;
  const first = draw(name, { signal: makeSignal("hanging") });
  const second = draw(name);
  await new Promise((done) => setTimeout(done, 500));
  const cancelled = performance.now();
  controllers.get("hanging")!.abort();
  const outcomes = [await first];
  const rejectedAfter = performance.now() - cancelled;
  outcomes.push(await second);
  return { outcomes, rejectedAfter };
}

/** Draw with two pipelines at once, cancel and unload one of them. */
async function drawWithTwo(left: string, right: string): Promise<Outcome[]> {
  const first = drawUntil(left, makeSignal("left"), () => {
    controllers.get("left")!.abort();
    void pipes.get(left)!.unload();
  });
  const second = draw(right);
  return [await first, await second, await draw(right)];
}

/** A second call of a pipeline that refuses it, and cancelling the first one afterwards. */
async function refuse(name: string): Promise<Outcome[]> {
  let refused: Promise<Outcome> | undefined;
  const first = await drawUntil(name, makeSignal("first"), () => {
    refused = draw(name).finally(() => controllers.get("first")!.abort());
  });
  return [first, await refused!, await draw(name)];
}

type Told = Pick<ProgressEvent, "stage" | "loaded" | "total" | "overall" | "remainingMs"> & {
  image?: number | undefined;
  images?: number | undefined;
};

/** Load and draw, and return the progress of both. */
async function tellProgress(
  name: string,
  manifest: string,
  options: DrawOptions,
  loadOptions: LoadOptions,
): Promise<{ loading: Told[]; drawing: Told[] }> {
  const [loading, drawing]: Told[][] = [[], []];
  const tellTo =
    (told: Told[]) =>
    ({ stage, loaded, total, overall, remainingMs, image, images }: ProgressEvent): number =>
      told.push({ stage, loaded, total, overall, remainingMs, image, images });
  await load(name, manifest, { ...loadOptions, onProgress: tellTo(loading!) });
  await draw(name, { ...options, onProgress: tellTo(drawing!) });
  return { loading: loading!, drawing: drawing! };
}

const functions = {
  load,
  draw,
  abortedBefore,
  cancelTwoOfFour,
  unloadAmid,
  loseAmid,
  hangAmid,
  drawWithTwo,
  refuse,
  tellProgress,
  takeNotices: () => {
    const taken = notices;
    notices = [];
    return taken;
  },
};

Object.assign(globalThis, { wsdCalls: functions });
