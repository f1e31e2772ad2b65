"""From a resolved config to a finished comparison: groups, programs, phases and the files of a run.

How a lane trains is the engine's, what the numbers allow to be said is in `stats`, what a page looks like in `report`.
"""
