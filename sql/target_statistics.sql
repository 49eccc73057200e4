SELECT c.relkind = 'r' AND NOT c.relhassubclass AND c.reltuples <= 0 AS is_due
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2
