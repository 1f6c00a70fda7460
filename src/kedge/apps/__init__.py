"""Composition roots and the command line: the only place where clock, venue and store are chosen."""
