"""From explanations to what people read."""
