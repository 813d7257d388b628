"""Who carries out a plan."""
