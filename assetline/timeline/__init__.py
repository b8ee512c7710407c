"""One picture of the lanes over time: who made what when, loads, idle, faults."""
