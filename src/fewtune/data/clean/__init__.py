"""Propose cleaner texts, each with a reason: one kind of dirt a file. Nothing here changes a row by itself."""
