/** A browser whose workers have no handles that read files in place. */

Object.defineProperty(FileSystemFileHandle.prototype, "createSyncAccessHandle", {
  value: undefined,
});
