"""Predictions and references in, numbers out."""
