"""The one evaluator, the run store, and one study a file."""
