"""Recipes that ship: the sample, and those of published mixes."""
