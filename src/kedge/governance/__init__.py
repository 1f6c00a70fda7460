"""Lineage, later ladder, gates and approvals. Pure: records in, findings out."""
