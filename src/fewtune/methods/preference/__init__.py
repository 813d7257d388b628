"""One way to learn from preferences a file; the losses are TRL's, the steps are those of every other method."""
