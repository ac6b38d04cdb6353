/**
 * The custom element `<stable-diffusion-image>`: a picture that is drawn where it stands. Importing
 * this module defines the element.
 */

import { parseSeed, StableDiffusionPipeline } from "./index";
import type { Generated, GenerateOptions, OnProgress } from "./index";

const NAME = "stable-diffusion-image";
/** An element that a page moves or renders anew finds its model still loaded. */
const LINGER_MS = 1000;
/** Attributes that are options of `generate`, in hyphens as all attributes. */
const NUMBERS = {
  "num-inference-steps": "numInferenceSteps",
  "guidance-scale": "guidanceScale",
  width: "width",
  height: "height",
} as const;
const TEXTS = { "negative-prompt": "negativePrompt", scheduler: "scheduler" } as const;
const STYLE = `
  :host { display: inline-block; position: relative; max-width: 100%; }
  :host([hidden]) { display: none; }
  canvas { display: block; max-width: 100%; height: auto; }
  progress { width: 100%; }
  p { margin: 0; }
  [hidden] { display: none; }
`;

/** A model that the elements of a page share; it is unloaded when none of them uses it. */
class SharedModel {
  private static readonly loaded = new Map<string, SharedModel>();
  readonly pipeline: Promise<StableDiffusionPipeline>;
  private readonly users = new Set<OnProgress>();
  private readonly controller = new AbortController();

  private constructor(readonly src: string) {
    this.pipeline = StableDiffusionPipeline.fromPretrained(src, {
      signal: this.controller.signal,
      onProgress: (event) => {
        for (const report of this.users) report(event);
      },
    });
    // The next element that draws tries to load it again.
    this.pipeline.catch(() => this.forget());
  }

  /** Return the model at an address, and report its progress until {@link leave}. */
  static join(src: string, report: OnProgress): SharedModel {
    const model = this.loaded.get(src) ?? new SharedModel(src);
    this.loaded.set(src, model);
    model.users.add(report);
    return model;
  }

  /** End the use of the model. */
  leave(report: OnProgress): void {
    this.users.delete(report);
    setTimeout(() => {
      if (this.users.size > 0) return;
      this.forget();
      this.controller.abort();
      this.pipeline.then((pipeline) => pipeline.unload()).catch(() => undefined);
    }, LINGER_MS);
  }

  private forget(): void {
    if (SharedModel.loaded.get(this.src) === this) SharedModel.loaded.delete(this.src);
  }
}

// Servers that render pages import modules, too, and have no elements.
const Base: typeof HTMLElement =
  "HTMLElement" in globalThis ? HTMLElement : (Object as unknown as typeof HTMLElement);

/**
 * A picture that is drawn from its attributes: `src` is the address of the model's manifest.json,
 * and `prompt` what to draw. `negative-prompt`, `num-inference-steps`, `guidance-scale`, `seed`,
 * `width`, `height` and `scheduler` are options of `generate`; `alt` describes the picture instead
 * of the prompt. A change draws another picture. Elements with the same `src` share the model.
 *
 * As an `img` it sends the events `load` and `error`, and `progress` before. Its content is shown
 * until there is a picture, and if there can be none. `::part(picture)`, `::part(progress)` and
 * `::part(status)` style its parts.
 *
 * @example
 * ```html
 * <script type="module" src="https://cdn.example/web-stable-diffusion/dist/element.js"></script>
 * <stable-diffusion-image src="/model/manifest.json" prompt="a red circle" seed="7">
 *   <img src="circle.png" alt="a red circle" />
 * </stable-diffusion-image>
 * ```
 */
export class StableDiffusionImage extends Base {
  /** @internal */
  static readonly observedAttributes = [
    ...["src", "prompt", "seed", "alt"],
    ...Object.keys(NUMBERS),
    ...Object.keys(TEXTS),
  ];

  /** What the element says while it works; replace the sentences for pages in other languages. */
  static texts = { loading: "Loading the model …", drawing: "Drawing …" };

  #controller: AbortController | undefined;
  #scheduled = false;
  #generated: Generated | undefined;
  #error: Error | undefined;
  #model: SharedModel | undefined;
  /** The attributes that the picture was drawn from. */
  #drawn = "";
  readonly #report: OnProgress = ({ stage, overall }) => {
    const { loading, drawing } = StableDiffusionImage.texts;
    this.#say(stage === "text" || stage === "denoise" || stage === "decode" ? drawing : loading);
    this.#parts.progress.value = overall;
    const init = { lengthComputable: true, loaded: overall, total: 1 };
    this.dispatchEvent(new ProgressEvent("progress", init));
  };
  #parts: { canvas: HTMLCanvasElement; progress: HTMLProgressElement; status: HTMLElement };

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const style = new CSSStyleSheet();
    style.replaceSync(STYLE);
    root.adoptedStyleSheets = [style];
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    const progress = document.createElement("progress");
    const status = document.createElement("p");
    status.setAttribute("role", "status");
    for (const [name, part] of Object.entries({ picture: canvas, progress, status })) {
      part.setAttribute("part", name);
    }
    canvas.hidden = progress.hidden = true;
    root.append(canvas, document.createElement("slot"), progress, status);
    this.#parts = { canvas, progress, status };
  }

  /** Address of the model's manifest.json. */
  get src(): string {
    return this.getAttribute("src") ?? "";
  }
  set src(value: string) {
    this.setAttribute("src", value);
  }

  /** What to draw. */
  get prompt(): string {
    return this.getAttribute("prompt") ?? "";
  }
  set prompt(value: string) {
    this.setAttribute("prompt", value);
  }

  /** What describes the picture to those who do not see it; the prompt unless it is given. */
  get alt(): string {
    return this.getAttribute("alt") ?? this.prompt;
  }
  set alt(value: string) {
    this.setAttribute("alt", value);
  }

  /** What the last `load` is about: the picture, its settings and timings. */
  get generated(): Generated | undefined {
    return this.#generated;
  }

  /** What the last `error` is about. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Draw again; without `seed`, another picture. */
  draw(): void {
    // An element whose attributes are those of its picture would draw nothing.
    this.#drawn = "";
    this.#schedule();
  }

  /** @internal */
  connectedCallback(): void {
    this.#schedule();
  }

  /** @internal */
  disconnectedCallback(): void {
    this.#controller?.abort();
    this.#leave();
  }

  /** @internal */
  attributeChangedCallback(name: string, before: string | null, value: string | null): void {
    // Frameworks set attributes to the value that they have.
    if (before === value) return;
    if (name === "alt") this.#describe();
    else this.#schedule();
  }

  /** Draw once after all attributes of a change are set. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      // An element that is moved keeps its picture.
      if (this.#drawn === this.#describeRequest()) return;
      this.#controller?.abort();
      if (!this.isConnected || this.src === "" || this.prompt === "") return;
      this.#controller = new AbortController();
      void this.#draw(this.#controller.signal);
    });
  }

  async #draw(signal: AbortSignal): Promise<void> {
    this.#error = undefined;
    this.#drawn = "";
    this.#say(StableDiffusionImage.texts.loading);
    this.#parts.progress.hidden = false;
    try {
      const pipeline = await this.#load();
      signal.throwIfAborted();
      const request = this.#describeRequest();
      const onProgress = this.#report;
      this.#show(await pipeline.generate(this.prompt, { ...this.#options(), onProgress, signal }));
      this.#drawn = request;
    } catch (error) {
      if (!signal.aborted) this.#fail(error as Error);
    }
  }

  /** Return the model of `src`, which the element then uses until it leaves the page. */
  async #load(): Promise<StableDiffusionPipeline> {
    // What is not an address is refused by fromPretrained, which says why.
    const { src: given, baseURI } = this;
    const src = URL.canParse(given, baseURI) ? new URL(given, baseURI).href : given;
    if (this.#model?.src !== src) {
      this.#leave();
      this.#model = SharedModel.join(src, this.#report);
    }
    const model = this.#model;
    try {
      return await model.pipeline;
    } catch (error) {
      if (this.#model === model) this.#leave();
      throw error;
    }
  }

  #leave(): void {
    this.#model?.leave(this.#report);
    this.#model = undefined;
  }

  #options(): GenerateOptions {
    const options: GenerateOptions = {};
    for (const [attribute, name] of Object.entries(NUMBERS)) {
      const value = this.getAttribute(attribute);
      if (value !== null) options[name] = Number(value);
    }
    for (const [attribute, name] of Object.entries(TEXTS)) {
      const value = this.getAttribute(attribute);
      if (value !== null) options[name] = value;
    }
    const seed = this.getAttribute("seed");
    // A text that is not a seed is refused by `generate`, as NaN is.
    if (seed !== null) options.seed = parseSeed(seed) ?? Number.NaN;
    return options;
  }

  #show(generated: Generated): void {
    const { canvas, progress } = this.#parts;
    const { image } = generated;
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d")!.putImageData(image, 0, 0);
    this.#generated = generated;
    this.#describe();
    this.#say("");
    canvas.hidden = false;
    progress.hidden = true;
    this.shadowRoot!.querySelector("slot")!.hidden = true;
    this.dispatchEvent(new Event("load"));
  }

  #fail(error: Error): void {
    this.#error = error;
    const { canvas, progress } = this.#parts;
    canvas.hidden = progress.hidden = true;
    this.shadowRoot!.querySelector("slot")!.hidden = false;
    const { hint } = error as Error & { hint?: string };
    this.#say(hint === undefined ? error.message : `${error.message}; ${hint}`);
    this.dispatchEvent(new Event("error"));
  }

  /** Write the status only where it is new, because screen readers read each change. */
  #say(text: string): void {
    const { status, progress } = this.#parts;
    if (status.textContent === text) return;
    status.textContent = text;
    progress.setAttribute("aria-label", text);
  }

  #describeRequest(): string {
    const names = StableDiffusionImage.observedAttributes.filter((name) => name !== "alt");
    return JSON.stringify(names.map((name) => this.getAttribute(name)));
  }

  #describe(): void {
    this.#parts.canvas.setAttribute("aria-label", this.alt);
  }
}

if ("customElements" in globalThis && customElements.get(NAME) === undefined) {
  customElements.define(NAME, StableDiffusionImage);
}

declare global {
  interface HTMLElementTagNameMap {
    "stable-diffusion-image": StableDiffusionImage;
  }
}
