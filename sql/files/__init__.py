"""A warehouse on disk: the file, its views, copies of it, and the folder of Parquet files that it is exported as."""
