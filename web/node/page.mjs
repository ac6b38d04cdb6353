// A page without a browser: node page.mjs ADDRESS
//
// One JSON request a line on standard input, {script, argument}: a function's text and
// what it is called with. One JSON answer a line on standard output: {value}, or
// {failure}. A page's calls of its host come in between: {call, argument}.

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
