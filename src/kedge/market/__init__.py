"""Bars as columns: validation with quarantine, gaps, comparison of sources, quality, and the crossing to the integer grid.

Rules: nothing here reads a file, a clock or an unseeded generator; a bad row is quarantined with its code, never dropped or repaired.
"""
