/**
 * The constants of a model's schedulers, which lie in one file for each scheduler. Manifests of
 * older bundles name no such files: then the manifest itself has the constants.
 */

import type { BundleFiles } from "../bundle/bundle_files";
import { UnreachableError } from "../bundle/download";
import type { Manifest, SchedulerConstants } from "../bundle/manifest";
import { log } from "../util/log";

/** Fetches the constants of each scheduler once. */
export class SchedulerTable {
  private readonly known = new Map<string, SchedulerConstants>();

  constructor(
    private readonly manifest: Manifest,
    private readonly files: Pick<BundleFiles, "get">,
  ) {}

  /**
   * Return the constants of a scheduler.
   *
   * Without the network, those of a scheduler that never drew before are the manifest's, which
   * `wsd verify` has compared with the file.
   *
   * @param name of a scheduler that the manifest lists.
   * @throws FetchError or IntegrityError if the server gives no such file, or another one.
   * @throws AbortError if the signal is aborted.
   */
  async get(name: string, signal?: AbortSignal): Promise<SchedulerConstants> {
    const known = this.known.get(name);
    if (known !== undefined) return known;
    const { schedulers, noise_schedule } = this.manifest;
    const entry = schedulers.constants?.[name];
    const own = { name, config: schedulers.available[name]!, noise_schedule };
    if (entry === undefined) return own;
    let data: ArrayBuffer;
    try {
      data = await this.files.get(entry, () => undefined, signal);
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error;
      log("debug", `${entry.file} cannot be fetched: the manifest's constants are used`);
      return own;
    }
    const constants = JSON.parse(new TextDecoder().decode(data)) as SchedulerConstants;
    this.known.set(name, constants);
    return constants;
  }
}
