"""Figures of single examples: what a generator made, recordings, and maps of what answers rest on."""
