"""What a run leaves on disk, and how it is read again.

`files` writes and reads text and JSON, `arrays` holds array files, `directory` knows which files make a run directory.
Opening any of them runs no code and imports no jax. What the numbers mean is decided by the packages above.
"""
