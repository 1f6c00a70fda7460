"""The long-running loops."""
