"""The prefix cache: what frozen layers say about a text, computed once for every run, fold, seed, epoch and command."""
