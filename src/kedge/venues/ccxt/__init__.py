"""Exchanges behind the library ccxt: a second way to a venue, for paper and for reading."""
