"""The engine: streams of randomness, learners, the compiled fit, and populations of lanes.

It knows no config, no part by name and no file. What a method is comes in as a `Learner`; what comes out is arrays.
"""
