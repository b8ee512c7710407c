"""What people start: the command line, and the Prefect server that it may need."""
