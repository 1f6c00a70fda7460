"""The guard: watches one account at the venue and brakes it, whatever becomes of the trader."""
