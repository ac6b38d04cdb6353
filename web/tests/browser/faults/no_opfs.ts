/** A browser without an origin private file system, as in private windows of some. */

StorageManager.prototype.getDirectory = () =>
  Promise.reject(new DOMException("not here", "SecurityError"));
