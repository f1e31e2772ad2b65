"""From a source of examples to three fixed parts: its checks, trees of arrays, batches of a loader, and the cuts.

Everything here runs on the host with NumPy. The factories that return a `Source` are in `parts.data`, `parts.text`
and `parts.fetched`.
"""
