"""The report: what a study found, in figures and words, on one offline page and in the terminal.

It reads three things and changes none: the results (an xarray.Dataset), the summary and the manifest (plain dicts).
All of them are untrusted: every string is cleaned and escaped on its way out. No statistics are made here (the
summary brings them), nothing is trained here, and jax is never imported.
"""
