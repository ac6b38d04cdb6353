"""Measure a bundle: parity with diffusers, benchmarks, baselines, kernel tuning."""
