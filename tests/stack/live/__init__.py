"""Pages over a system that trades: a package, so that it ends with the last of these tests and leaves the machine to the others."""
