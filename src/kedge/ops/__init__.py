"""Operations: configuration with the origin of every value, and where state lives on this machine."""
