"""Replicate as a lane: paid predictions, each backed by the ledger."""
