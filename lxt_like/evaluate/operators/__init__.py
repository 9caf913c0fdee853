"""Ways to remove units from an input: one file for texts, two for images."""
