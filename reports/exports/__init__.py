"""What a warehouse is given away as: description files, and a folder of Parquet files."""
