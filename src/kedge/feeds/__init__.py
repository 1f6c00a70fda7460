"""Data providers. Here: files of bars and funding in the common layouts, read into the market room's raw rows.

Rule: a feed reads and maps; it judges nothing. Unreadable cells become NaN with their text kept, so that validation can quarantine them.
"""
