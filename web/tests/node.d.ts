// The two things of Node.js that bridge.ts uses; @types/node would let the
// page's sources use all of them.
declare const process: { stdin: unknown };
declare module "node:readline" {
  export function createInterface(options: { input: unknown }): AsyncIterable<string>;
}
