"""From the sections of a config to a learner: factories called, what does not fit together, and its metrics."""
