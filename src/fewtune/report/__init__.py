"""What was decided and why, for a person: the HTML page and the terminal tables."""
