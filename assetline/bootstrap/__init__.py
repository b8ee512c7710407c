"""Settings become things. `planning` reads and plans a sheet and is quick to import; `running` opens lanes.

Only apps, flows and tasks call this floor; everything below takes values and clients.
"""
