"""The laws of money: small functions over 64-bit integers, readable Python and compiled code at once.

Rules: integers in, integers out, no float, no IO, no clock, no randomness. Every product of two scaled integers
goes through `arithmetic.mul_div_*`; `Instrument` and `bounds.prove_account` prove that none can reach 2^63.
"""
