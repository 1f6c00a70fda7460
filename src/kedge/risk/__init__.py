"""Sizing, the pre-trade limits and the gate that applies them. Pure; a refusal is a value."""
