"""Makes something of records: tables, statistics."""
