"""What can be done with a finished run: replay a step, measure more, rank methods over tasks, exchange parameters."""
