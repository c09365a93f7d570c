-- What a user has made upon our tables that DuckDB would not let them be rebuilt under.
select 'index ' || index_name as object
from duckdb_indexes()
where schema_name = 'store'
union all
select 'table store.' || table_name as object
from duckdb_constraints()
where
    schema_name = 'store'
    and constraint_type = 'FOREIGN KEY'
    and table_name not in ('layers', 'images', 'scorings')
union all
select 'table store.' || table_name as object
from duckdb_tables()
where schema_name = 'store' and regexp_matches(table_name, '^(known|keyless)_')
order by object
