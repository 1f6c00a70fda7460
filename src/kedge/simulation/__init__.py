"""The exchange core: matching, margin, funding, liquidation, faults.

Rules: a bar comes in, results come out in time order; no clock, no IO, randomness only from a seed given as an argument.
"""
