"""Models that write: opened, and rows turned into what they read, with the tokens that count for the loss marked."""
