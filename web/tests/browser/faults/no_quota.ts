/** A browser that has no room to keep files. */

/** Workers have it; TypeScript's types for pages lack it. */
declare class FileSystemSyncAccessHandle {
  write: () => number;
}

FileSystemSyncAccessHandle.prototype.write = () => {
  throw new DOMException("full", "QuotaExceededError");
};
FileSystemWritableFileStream.prototype.write = () =>
  Promise.reject(new DOMException("full", "QuotaExceededError"));
