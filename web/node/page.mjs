// A page without a browser: node page.mjs ADDRESS
//
// Each line on standard input is a JSON request: {script, argument}, the text of a function and
// its argument, or {expose}, the name of a function of the host that the page may call. Each line
// on standard output is a JSON answer: {value} or {failure}; before it there may be calls of the
// host's functions, {call, argument}.

import process from "node:process";
import { createInterface } from "node:readline";

import { becomeBrowser } from "./browser.mjs";

const [address] = process.argv.slice(2);
const answer = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);

becomeBrowser();
globalThis.document = { baseURI: address };
globalThis.importModule = (name) => import(new URL(name, address));

for await (const line of createInterface({ input: process.stdin })) {
  const { script, argument, expose } = JSON.parse(line);
  try {
    if (expose !== undefined) {
      globalThis[expose] = (given) => answer({ call: expose, argument: given });
      answer({ value: null });
    } else {
      const work = (0, eval)(`(${script})`);
      answer({ value: (await work(argument)) ?? null });
    }
  } catch (error) {
    answer({ failure: String(error?.stack ?? error) });
  }
}
process.exit(0);
