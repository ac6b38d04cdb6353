/** Says what an error means for a visitor, and what they can do in their browser. */

import {
  DeviceLostError,
  FetchError,
  IntegrityError,
  LoraError,
  OptionError,
  OutOfMemoryError,
  UnsupportedError,
  WsdError,
} from "../index";
import type { Strings } from "./strings";

/** What an error panel says. */
export interface Advice {
  /** What happened, as a sentence. */
  title: string;
  /** What to do, as sentences. */
  steps: string[];
  /** An address to open instead, where that helps. */
  link?: string;
  /** The error's own message and hint, in English. */
  details: string[];
  /** Whether the steps say all that the details do, so that these can be folded. */
  complete: boolean;
}

/** What is known of the browser that the page runs in. */
export interface Surroundings {
  userAgent: string;
  /** Whether the page's address is secure enough for WebGPU. */
  secure: boolean;
  online: boolean;
  /** The page's address. */
  address: string;
}

export type Browser = "Chrome" | "Firefox" | "Safari" | "Other";

/** Tell which of the large browsers a user agent is of; those on Chromium count as Chrome. */
export function browserOf(userAgent: string): Browser {
  // Every browser of iOS is Safari inside, and Chromium names Safari too.
  if (/iPhone|iPad|iPod/.test(userAgent)) return "Safari";
  if (userAgent.includes("Firefox/")) return "Firefox";
  if (/Chrome\/|Chromium\/|CriOS\/|Edg/.test(userAgent)) return "Chrome";
  if (userAgent.includes("Safari/")) return "Safari";
  return "Other";
}

/** Say what an error means, and what to do about it. */
export function advise(thrown: unknown, here: Surroundings, text: Strings): Advice {
  const details = describe(thrown);
  const known = (title: string, ...steps: string[]): Advice => {
    return { title, steps, details, complete: true };
  };
  /** The error's own hint is what to do. */
  const named = (title: string, ...steps: string[]): Advice => {
    return { title, steps, details, complete: false };
  };
  const browser = browserOf(here.userAgent);
  if (thrown instanceof UnsupportedError) {
    if (!here.secure) {
      const advice = known(text.errorInsecure, text.errorInsecureHow);
      const link = secureAddress(here.address);
      return link === undefined ? advice : { ...advice, link };
    }
    if (thrown.message.includes("no WebGPU adapter")) {
      return known(text.errorNoAdapter, text[`accelerate${browser}`], text.updateDriver);
    }
    if (thrown.message.includes("no WebGPU")) {
      const others = browser === "Other" ? [] : [text.useOther];
      return known(text.errorNoWebGpu, text[`use${browser}`], ...others);
    }
    return named(text.errorUnsupported);
  }
  if (thrown instanceof OutOfMemoryError) return known(text.errorNoRoom, text.errorNoRoomHow);
  if (thrown instanceof DeviceLostError) return known(text.errorLost, text.errorLostHow);
  if (thrown instanceof IntegrityError) {
    const damaged = !thrown.message.includes("keeps another version");
    return named(damaged ? text.errorDamaged : text.errorVersion);
  }
  if (thrown instanceof FetchError) {
    return here.online ? named(text.errorFetch) : named(text.errorFetch, text.errorOffline);
  }
  if (thrown instanceof OptionError) {
    const noSelfTest = thrown.message.includes("without expected values");
    return named(noSelfTest ? text.errorNoSelfTest : text.errorOption);
  }
  if (thrown instanceof LoraError) return named(text.errorLora);
  if (thrown instanceof WsdError) return named(text.errorUnexpected);
  return named(text.errorUnexpected, text.errorReload);
}

/** The same address by https; undefined if it names a port, which only answers http. */
function secureAddress(address: string): string | undefined {
  const url = new URL(address);
  if (url.port !== "") return undefined;
  url.protocol = "https:";
  return url.href;
}

/** An error's message and hint as sentences. */
function describe(thrown: unknown): string[] {
  if (thrown instanceof WsdError) return [sentence(thrown.message), sentence(thrown.hint)];
  return [sentence(thrown instanceof Error ? thrown.message : String(thrown))];
}

/** Begin with a capital, unless that changes a name, and end with a full stop. */
export function sentence(words: string): string {
  const capital = /^(?:a|[a-z]{2,})(?:[ ,']|: )/.test(words)
    ? words[0]!.toUpperCase() + words.slice(1)
    : words;
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}
