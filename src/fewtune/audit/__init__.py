"""What is wrong with a dataset before anything is trained: one check a file."""
