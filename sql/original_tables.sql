SELECT c.relname::pg_catalog.text AS name
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v')
   AND n.nspname = $1
   AND c.relname ~ '^gpkafka_.*_[0-9a-f]{32}$'
 ORDER BY 1
