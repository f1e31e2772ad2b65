"""From text to token ids and back, and from ids to the rows, pairs and windows that a model reads.

Everything here runs on the host, without JAX. The sets of text are in `parts.text`.
"""
