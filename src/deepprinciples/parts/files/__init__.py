"""Readers of files that others made, into NumPy arrays: IDX, npz, CSV, pictures and the weights of PyTorch."""
