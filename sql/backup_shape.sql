SELECT n.oid = pg_catalog.pg_my_temp_schema() AS is_wanted,
       a.attname::pg_catalog.text AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS sql_type
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE (n.nspname = $1 AND c.relname = $2)
    OR (n.oid = pg_catalog.pg_my_temp_schema() AND c.relname = $3)
 ORDER BY 1, a.attnum
