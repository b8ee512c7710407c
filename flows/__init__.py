"""Prefect flows: one a file. No file here may bear the name of a library; no types are defined here."""
