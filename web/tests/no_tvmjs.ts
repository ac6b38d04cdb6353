/** Takes the place of tvmjs, which comes with TVM and not from npm: here no library runs. */

export function instantiate(): never {
  throw new Error("tests in Node.js start no compiled library; those in tests/e2e do");
}
