/**
 * What tvmjs's runtime imports for its own download of weights, which WSD never calls: the bundler
 * puts this in place of tvmjs's `artifact_cache`, whose caches weigh four kilobytes.
 */

// Of 0.27.
export const createArtifactCache = undefined;
export const getTensorCacheRecordBytes = undefined;
// Of v0.21.0.
export const ArtifactCache = undefined;
export const ArtifactIndexedDBCache = undefined;
