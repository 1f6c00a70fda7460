"""Drills of the brake: a crash played on a private simulated exchange, a real guard, and what an independent reader saw."""
