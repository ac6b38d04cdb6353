/** A browser in which another tab reads every file, and has it for itself. */

Object.defineProperty(FileSystemFileHandle.prototype, "createSyncAccessHandle", {
  value: () => Promise.reject(new DOMException("in use", "NoModificationAllowedError")),
});
