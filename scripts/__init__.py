"""Tools of the house, run by the Makefile as `python -m scripts.<name>`; no part of the package."""
