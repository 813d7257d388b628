"""What an implementation of a seam is held by: contracts as pytest classes, toy rows, tiny real backbones.

Subclass a contract, give its fixtures, and every promise of the seam is tested on your implementation.
"""
