"""The training step, the loop around it, and who carries out a plan."""
