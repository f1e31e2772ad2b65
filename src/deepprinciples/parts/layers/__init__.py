"""Layers: what the networks of `parts.models` are built of, and the keywords that they share."""
