SELECT n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v')
   AND n.nspname !~ '^(pg_|gp_toolkit|information_schema)'
   AND c.relname !~ '^gpkafka'
 ORDER BY 1, 2
 LIMIT 10000
