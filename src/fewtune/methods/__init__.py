"""One way to adapt a backbone a file; `base.py` is the contract."""
