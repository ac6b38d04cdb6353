/** The bundle's models, and the one that the page's address names. */

import type { ListedModel } from "../index";
import { listModels } from "../index";

/**
 * The digest of the list of models, which `wsd build` and `wsd join` write into the page. Everything
 * else is checked by what this list says.
 */
function modelsIntegrity(): { integrity?: string } {
  const meta = document.querySelector<HTMLMetaElement>('meta[name="models-integrity"]');
  return meta?.content ? { integrity: meta.content } : {};
}

/** The models of a bundle. */
export interface OfferedModels {
  models: ListedModel[];
  /** The one that `?model=` names, or else the first. */
  wanted: ListedModel;
  /** What `?model=` names, if there is no such model. */
  unknown?: string;
}

/** List the models, and choose one of them. */
export async function offeredModels(): Promise<OfferedModels> {
  const models = await listModels("models/index.json", modelsIntegrity());
  const name = new URLSearchParams(location.search).get("model");
  const named = models.find((model) => model.name === name);
  const wanted = named ?? models[0]!;
  return name === null || named !== undefined
    ? { models, wanted }
    : { models, wanted, unknown: name };
}
