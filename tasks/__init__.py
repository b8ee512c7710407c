"""Prefect tasks: thin sleeves round core functions."""
