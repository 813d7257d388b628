"""One way to have a backbone write a file; `base.py` is what they share."""
