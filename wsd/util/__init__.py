"""Hashing, files, processes and progress; knows nothing of models."""
