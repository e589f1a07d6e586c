"""The sections of a recipe, as typed data; their defaults are the reference."""
