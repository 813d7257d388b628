"""Systems that tune a model on prompts and completions, each run in a process of its own."""
