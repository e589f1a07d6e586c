"""Losses between class scores."""
