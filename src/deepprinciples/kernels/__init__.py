"""Kernels: arithmetic on arrays in the forms XLA runs well inside loops and under vmap.

Each has the plain version as its tested twin. Layers with parameters are Linen's and take these as their hooks.
"""
