"""Kernels for sequences: recurrence, attention, normalization of their features, and distances between them."""
