"""One reader a file: each turns a kind of source into a `Table`."""
