/** Imports modules by address, in a browser and in Node.js. */

/**
 * Import a module.
 *
 * @param address absolute, or relative to the page.
 */
export async function importModule(address: string): Promise<unknown> {
  const url = new URL(address, document.baseURI).href;
  // Evaluated programs cannot import in Node.js, so web/node/page.mjs gives them a function.
  const { importModule: imported } = globalThis as {
    importModule?: (url: string) => Promise<unknown>;
  };
  // eslint-disable-next-line no-unsanitized/method -- the driver is given the address
  return imported === undefined ? import(url) : imported(url);
}
