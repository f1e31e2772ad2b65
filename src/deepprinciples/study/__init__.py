"""Where a config becomes a comparison, and the comparison an honest verdict.

The rooms: what runs (arms, build, protocol) and what may be said about it (statistics, verdicts). Nothing here knows
how a lane is trained, how a file is written or how a page looks; statistics and verdicts never import jax.
"""
