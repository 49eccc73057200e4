SELECT c.relname::pg_catalog.text AS name, x.urilocation[1] AS location
  FROM pg_catalog.pg_exttable x
  JOIN pg_catalog.pg_class c ON c.oid = x.reloid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname LIKE 'gpkafkaloadext\_%' AND x.urilocation[1] IS NOT NULL
 ORDER BY 1
