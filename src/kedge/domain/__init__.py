"""The nouns: instruments, orders, events, outputs, canonical bytes, and the ports as Protocols.

Rules: values are frozen and validated at birth, money and prices are integers, nothing here does IO.
"""
