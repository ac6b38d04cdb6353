"""What a bundle is made of: pins, materials, SBOM, provenance."""
