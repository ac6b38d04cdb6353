/**
 * Names of a UNet's layers in the original code of Latent Diffusion (`input_blocks.1.1.proj_in`), which
 * many LoRAs have. They are counted from diffusers' names, as diffusers' own conversion counts them.
 */

/** Names outside of blocks. */
const SINGLE: Readonly<Record<string, string>> = {
  conv_in: "input_blocks.0.0",
  "time_embedding.linear_1": "time_embed.0",
  "time_embedding.linear_2": "time_embed.2",
  "add_embedding.linear_1": "label_emb.0.0",
  "add_embedding.linear_2": "label_emb.0.2",
  conv_norm_out: "out.0",
  conv_out: "out.2",
};

/** Layers of a residual block. */
const RESIDUAL: Readonly<Record<string, string>> = {
  norm1: "in_layers.0",
  conv1: "in_layers.2",
  time_emb_proj: "emb_layers.1",
  norm2: "out_layers.0",
  conv2: "out_layers.3",
  conv_shortcut: "skip_connection",
};

/** Return diffusers' name → the original name, for the layers that have one. */
export function originalNames(modules: readonly string[]): Map<string, string> {
  const prefixes = new Map<string, string>();
  placeBlocks(modules, "down_blocks", "input_blocks", 1, prefixes);
  placeBlocks(modules, "up_blocks", "output_blocks", 0, prefixes);
  prefixes.set("mid_block.resnets.0", "middle_block.0");
  prefixes.set("mid_block.attentions.0", "middle_block.1");
  prefixes.set("mid_block.resnets.1", "middle_block.2");
  const names = new Map<string, string>();
  for (const module of modules) {
    const original = Object.hasOwn(SINGLE, module) ? SINGLE[module] : inBlock(module, prefixes);
    if (original !== undefined) names.set(module, original);
  }
  return names;
}

/** Find the original prefix of each part of the blocks of one side. */
function placeBlocks(
  modules: readonly string[],
  side: string,
  original: string,
  start: number,
  prefixes: Map<string, string>,
): void {
  const parts = new Set(modules.map((module) => module.split(".").slice(0, 4).join(".")));
  let next = start;
  for (let block = 0; [...parts].some((part) => part.startsWith(`${side}.${block}.`)); block++) {
    const has = (part: string): boolean =>
      [...parts].some((each) => each === part || each.startsWith(`${part}.`));
    const path = `${side}.${block}`;
    let attends = false;
    for (let index = 0; has(`${path}.resnets.${index}`); index++) {
      prefixes.set(`${path}.resnets.${index}`, `${original}.${next}.0`);
      prefixes.set(`${path}.attentions.${index}`, `${original}.${next}.1`);
      attends ||= has(`${path}.attentions.${index}`);
      next += 1;
    }
    if (has(`${path}.downsamplers.0`)) {
      prefixes.set(`${path}.downsamplers.0.conv`, `${original}.${next}.0.op`);
      next += 1;
    }
    // An upsampler is a part of the block's last step, behind its attention.
    const place = `${original}.${next - 1}.${attends ? 2 : 1}`;
    prefixes.set(`${path}.upsamplers.0.conv`, `${place}.conv`);
  }
}

function inBlock(module: string, prefixes: ReadonlyMap<string, string>): string | undefined {
  const whole = prefixes.get(module);
  if (whole !== undefined) return whole;
  const parts = module.split(".");
  const depth = parts[0] === "mid_block" ? 3 : 4;
  const prefix = prefixes.get(parts.slice(0, depth).join("."));
  if (prefix === undefined) return undefined;
  const rest = parts.slice(depth).join(".");
  if (parts[depth - 2] !== "resnets") return `${prefix}.${rest}`;
  return Object.hasOwn(RESIDUAL, rest) ? `${prefix}.${RESIDUAL[rest]!}` : undefined;
}
