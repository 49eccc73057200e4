SELECT DISTINCT c.relname::pg_catalog.text AS name, o.option AS location
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_inherits i ON i.inhparent = c.oid
  JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = i.inhrelid
 CROSS JOIN LATERAL (SELECT option FROM pg_catalog.unnest(f.ftoptions) AS option
                      WHERE option LIKE 'program=%--segment-id 0 %') o
 WHERE n.nspname = $1 AND c.relname LIKE 'gpkafkaloadext\_%'
 ORDER BY 1
