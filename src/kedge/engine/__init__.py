"""The one step: (state, event) -> outputs. Pure and deterministic; the same in every mode."""
