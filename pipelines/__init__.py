"""Beam pipelines: sources, examples, units of text, translations, rows, Parquet."""
