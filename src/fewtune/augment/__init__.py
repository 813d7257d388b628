"""Rows made from rows: one strategy a file, each fitted on training rows alone."""
