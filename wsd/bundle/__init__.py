"""Write, read, check and merge bundles: manifest, shards, self-test, page, attestations."""
