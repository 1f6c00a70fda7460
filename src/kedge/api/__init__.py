"""The server people and monitors ask: health for now."""
