/** Lets a visitor leave out the third text encoder, which can be most of a model's download. */

import type { Preflight } from "../index";
import { element, field } from "./dom";
import { readStored, writeStored } from "./local_storage";

const KEPT = "wsd-third-encoder";
const LEFT_OUT = "left out";

let leftOut = readStored(KEPT) === LEFT_OUT;

/** Return the option `textEncoder3`: false if a visitor has left the encoder out, else undefined. */
export function wanted(): boolean | undefined {
  return leftOut ? false : undefined;
}

/** Show the choice for a model; it is hidden where the model has nothing to leave out. */
export function show({ textEncoder3 }: Preflight): void {
  element("encoder3-row").hidden = textEncoder3 === undefined;
  field("encoder3").checked = textEncoder3 !== false;
}

/** Call a function when a visitor has chosen otherwise. The choice is kept for the next visit. */
export function onChange(listener: () => void): void {
  field("encoder3").onchange = () => {
    leftOut = !field("encoder3").checked;
    writeStored(KEPT, leftOut ? LEFT_OUT : "");
    listener();
  };
}
