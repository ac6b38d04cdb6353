"""Train and measure the small models that WSD ships; not part of the package."""
