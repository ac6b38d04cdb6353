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

/** List the models, and choose the one that `?model=` names, or else the first. */
export async function offeredModels(): Promise<{ models: ListedModel[]; wanted: ListedModel }> {
  const models = await listModels("models/index.json", modelsIntegrity());
  const name = new URLSearchParams(location.search).get("model");
  return { models, wanted: models.find((model) => model.name === name) ?? models[0]! };
}
