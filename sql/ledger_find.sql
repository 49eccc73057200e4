SELECT pg_catalog.has_table_privilege(c.oid, 'SELECT') AS may_read,
       pg_catalog.has_table_privilege(c.oid, 'INSERT') AS may_append
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2
