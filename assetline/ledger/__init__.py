"""What was learned and what was spent, kept between runs: SQLite by default, Postgres for a fleet."""
