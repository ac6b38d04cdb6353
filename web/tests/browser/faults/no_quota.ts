/** A browser that has no room to keep files. */

FileSystemWritableFileStream.prototype.write = () =>
  Promise.reject(new DOMException("full", "QuotaExceededError"));
