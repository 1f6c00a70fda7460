"""The compiled laws of risk: filters of variance, and the scenarios of the book. Self-contained, so that their hash names the cache."""
