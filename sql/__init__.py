"""Numbers to answers: the warehouse, its schema, views and named queries."""
