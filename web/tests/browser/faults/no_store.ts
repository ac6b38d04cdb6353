/** A browser that keeps no files at all. */

StorageManager.prototype.getDirectory = () =>
  Promise.reject(new DOMException("not here", "SecurityError"));
CacheStorage.prototype.open = () => Promise.reject(new DOMException("nor here", "SecurityError"));
