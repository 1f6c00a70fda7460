"""Features and, later, labels, training and scoring. Pure: arrays in, arrays out."""
