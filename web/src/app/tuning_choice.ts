/** Lets a visitor turn off the tuning that goes on while nothing is drawn, and says how far it is. */

import type { LoadOptions, StableDiffusionPipeline } from "../index";
import { element, field } from "./dom";
import { readStored, writeStored } from "./local_storage";
import { onLanguage, text } from "./strings";

type Report = Parameters<NonNullable<LoadOptions["onTuned"]>>[0];

const KEPT = "wsd-tuning";
const OFF = "off";

let off = readStored(KEPT) === OFF;
let shown: Report | undefined;

/** Return the load options of tuning. The page says nothing of it where there is nothing to choose. */
export function tuningOptions(): Pick<LoadOptions, "tune" | "onTuned"> {
  shown = undefined;
  write();
  const onTuned = (report: Report): void => {
    shown = report;
    write();
  };
  return { tune: off ? "off" : "idle", onTuned };
}

/**
 * Follow the visitor's choice, which is kept for the next visit.
 *
 * @param pipeline the model that is loaded, if one is.
 */
export function mountTuning(pipeline: () => StableDiffusionPipeline | undefined): void {
  onLanguage(write);
  field("tune").checked = !off;
  field("tune").onchange = () => {
    off = !field("tune").checked;
    writeStored(KEPT, off ? OFF : "");
    pipeline()?.setTuning(off ? "off" : "idle");
  };
}

function write(): void {
  // Whoever has turned it off finds the way back.
  const says = shown !== undefined && (!shown.complete || shown.functions.length > 0);
  element("tuning").hidden = !says && !off;
  element("tuning-state").textContent = says ? text().tuned(shown!.gain, shown!.complete) : "";
}
