"""Telling classes apart with a model that writes: one way a file."""
