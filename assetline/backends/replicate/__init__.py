"""The Replicate lane: pictures that cost money, each paid at most once. `backend` is what a run opens, `catalog` what a
plan asks; nothing is imported here, since `check` and `plan` need the catalogue without the client.
"""
