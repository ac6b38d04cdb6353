/**
 * Upgrades manifests of version 1, so that bundles from before version 2 still draw.
 *
 * wsd/bundle/manifest_v1.py does the same in Python.
 */

import type {
  ComponentEntry,
  EntryPoint,
  LatentSpace,
  Manifest,
  NoiseSchedule,
  Schedulers,
} from "./manifest.generated";

interface SchedulerV1 extends Omit<NoiseSchedule, "kind"> {
  default: string;
  schedulers: Schedulers["available"];
}

type Changed = "schema_version" | "entry_points" | "components";
type Added = "pipeline" | "conditioning" | "latent_space" | "noise_schedule" | "schedulers";

/** What version 1 had: other words for roles, and nothing that says how a picture is drawn. */
export interface ManifestV1 extends Omit<Manifest, Changed | Added> {
  schema_version: 1;
  entry_points: (Omit<EntryPoint, "role"> & { role: string })[];
  components: Record<string, Omit<ComponentEntry, "folder" | "role">>;
  scheduler: SchedulerV1;
  latents: Pick<LatentSpace, "channels" | "scale_factor">;
  force_zeros_for_empty_prompt: boolean;
}

/** Version 1 called these roles after the UNet. */
const RENAMED_ROLES = new Map<string, EntryPoint["role"]>([
  ["unet", "denoiser"],
  ["guided_unet", "guided_denoiser"],
]);

/** Version 1 did not record it: of the two pipelines that it knew, every model had the same. */
const SCALING_FACTORS: Record<string, number> = {
  StableDiffusionPipeline: 0.18215,
  StableDiffusionXLPipeline: 0.13025,
};

/**
 * Return a manifest of version 1 in the form of version 2. Files and names of functions stay.
 *
 * @throws TypeError if it is not a manifest of version 1.
 */
export function upgradeManifest(manifest: ManifestV1): Manifest {
  const { scheduler, latents, force_zeros_for_empty_prompt, ...kept } = manifest;
  const entryPoints = manifest.entry_points.map((entry) => ({
    ...entry,
    role: RENAMED_ROLES.get(entry.role) ?? (entry.role as EntryPoint["role"]),
  }));
  const roles = new Map<string, EntryPoint["role"]>();
  for (const { component, role } of entryPoints) {
    if (component !== null && ["text_encoder", "denoiser", "vae_decoder"].includes(role)) {
      roles.set(component, role);
    }
  }
  const components = Object.entries(manifest.components).map(
    ([id, component]): [string, ComponentEntry] => [
      id,
      { ...component, folder: id, role: roles.get(id)! },
    ],
  );
  const { prediction_type, num_train_timesteps, alphas_cumprod } = scheduler;
  return {
    ...kept,
    schema_version: 2,
    pipeline: "text-to-image",
    entry_points: entryPoints,
    components: Object.fromEntries(components),
    conditioning: {
      encoders: [...roles].filter(([, role]) => role === "text_encoder").map(([id]) => id),
      join: "features",
      empty_negative: force_zeros_for_empty_prompt ? "zeros" : "encode",
    },
    latent_space: {
      ...latents,
      scaling_factor: SCALING_FACTORS[manifest.model.pipeline]!,
      shift_factor: 0,
    },
    noise_schedule: { kind: "discrete", prediction_type, num_train_timesteps, alphas_cumprod },
    schedulers: { default: scheduler.default, available: scheduler.schedulers },
  };
}
