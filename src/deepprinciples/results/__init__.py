"""What a study measured, as arrays, summaries, files and trained models."""
