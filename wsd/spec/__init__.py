"""Vocabulary that every room shares; needs neither torch nor TVM."""
