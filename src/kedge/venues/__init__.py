"""Venues: the Bybit client and the simulated exchange as a server. The two share no code, so each proves the other."""
