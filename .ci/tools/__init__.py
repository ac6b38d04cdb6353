"""Tools of this repository, for nox sessions and CI; not part of the package."""
