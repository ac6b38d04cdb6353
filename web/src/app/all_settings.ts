/** The panel of all settings: tiles and what stays on the GPU as choices, and what comes out of it. */

import type {
  DiffusionSettings,
  GenerateOptions,
  Preflight,
  SettingsLayer,
  StableDiffusionPipeline,
} from "../index";
import { tileSizes } from "../index";
import { element, field, fill, row } from "./dom";
import { onLanguage, text } from "./strings";

/** What can stay on the GPU, by the names of the settings. */
type Stage = NonNullable<NonNullable<DiffusionSettings["swapper"]>["evict"]>[number];

/** What the panel asks the page. */
interface Page {
  /** The loaded model, if there is one. */
  pipeline: () => StableDiffusionPipeline | undefined;
  /** The other options of the picture that would be drawn. */
  options: () => GenerateOptions;
}

/** What the panel gives the page. */
export interface AllSettings {
  /** Offer what a model has; the choices begin with what it does by itself. */
  offerModel: (model: Preflight) => void;
  /** The settings that the visitor chose; undefined where the model decides. */
  read: () => DiffusionSettings | undefined;
  /** Write the table anew, if it is open. */
  describe: () => void;
}

/** What the stages are called. */
function stageNames(): Record<Stage, string> {
  const words = text();
  return {
    text_encoder: words.allSettings.textEncoders,
    vae_encoder: words.allSettings.encoder,
    denoiser: words.allSettings.denoiser,
    vae_decoder: words.allSettings.decoder,
    safety_checker: words.allSettings.checker,
  };
}

/** Who gave a setting, in words. */
function layerNames(): Record<SettingsLayer, string> {
  const words = text();
  return {
    manifest: words.allSettings.ofModel,
    page: words.allSettings.ofPage,
    call: words.allSettings.ofCall,
  };
}

const panel = element<HTMLDetailsElement>("all-settings");
const tile = element<HTMLSelectElement>("tile");
const overlap = field("overlap");

/** Set the panel up. */
export function mountAllSettings({ pipeline, options }: Page): AllSettings {
  let edges: number[] = [];
  let stages: Stage[] = [];
  const isKept = (stage: Stage): boolean => field(`keep-${stage}`).checked;

  const read = (): DiffusionSettings | undefined => {
    const evict = stages.filter((stage) => !isKept(stage));
    const tiled = tile.value !== "";
    if (!tiled && evict.length === 0) return undefined;
    const tiling = {
      enabled: true,
      tileSize: Number(tile.value),
      overlap: overlap.valueAsNumber / 100,
    };
    return {
      ...(tiled ? { decode: { tiling } } : {}),
      ...(evict.length === 0 ? {} : { swapper: { enabled: true, evict } }),
    };
  };

  const writeTiles = (): void => {
    const words = text();
    const listed = edges.map((edge) => [String(edge), words.allSettings.tile(edge)] as const);
    fill("tile", [["", words.allSettings.whole], ...listed], tile.value);
  };

  /** Offer to keep each stage; at first all of them are. */
  const writeStages = (): void => {
    const labels = stages.map((stage) => {
      const [label, box] = [document.createElement("label"), document.createElement("input")];
      label.className = "check";
      [box.type, box.id, box.checked] = ["checkbox", `keep-${stage}`, true];
      const name = document.createElement("span");
      name.textContent = stageNames()[stage];
      label.append(box, name);
      return label;
    });
    element("kept-stages").replaceChildren(...labels);
  };

  const describe = (): void => {
    const loaded = pipeline();
    element("overlap-row").hidden = tile.value === "";
    if (loaded === undefined || !panel.open) return;
    const layers = layerNames();
    const body = element("all-settings-body");
    try {
      const merged = loaded.settings({ ...options(), settings: read() });
      const values = new Map(valuesOf(merged.diffusion));
      const lines = Object.entries(merged.sources).map(([path, layer]) =>
        row([path, values.get(path)!, layers[layer]]),
      );
      body.replaceChildren(...lines);
      element("all-settings-memory").textContent = text().allSettings.memory(merged.peakBytes);
    } catch (error) {
      // A field of the form holds something wrong by now, which is said where it stands.
      body.replaceChildren();
      element("all-settings-memory").textContent = (error as Error).message;
    }
  };

  panel.addEventListener("toggle", describe);
  panel.addEventListener("input", describe);
  onLanguage(() => {
    writeTiles();
    for (const stage of stages) {
      field(`keep-${stage}`).nextElementSibling!.textContent = stageNames()[stage];
    }
    describe();
  });
  return {
    offerModel: ({ manifest, sizes }) => {
      const largest = Math.max(...sizes.map((size) => Math.min(...size)));
      edges = tileSizes(manifest).filter((edge) => edge < largest);
      const roles = new Set(Object.values(manifest.components).map(({ role }) => role));
      stages = (Object.keys(stageNames()) as Stage[]).filter((stage) => roles.has(stage));
      tile.value = "";
      writeTiles();
      writeStages();
      panel.hidden = false;
      describe();
    },
    read,
    describe,
  };
}

/** List the values of an object by their paths, as JSON. */
function valuesOf(table: object, place = ""): [string, string][] {
  return Object.entries(table).flatMap(([name, value]: [string, unknown]): [string, string][] => {
    const path = place === "" ? name : `${place}.${name}`;
    const isTable = typeof value === "object" && value !== null && !Array.isArray(value);
    return isTable ? valuesOf(value, path) : [[path, JSON.stringify(value)]];
  });
}
