SELECT n.nspname::pg_catalog.text AS schema
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
 WHERE c.relname = $1 AND n.nspname <> $2
   AND c.relkind = 'r' AND c.relpersistence <> 't'
   AND coalesce(pg_catalog.row_to_json(c) ->> 'relstorage', '') <> 'x'
   AND a.attname = 'job' AND a.atttypid = 'pg_catalog.text'::pg_catalog.regtype
   AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
   AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
 ORDER BY 1
