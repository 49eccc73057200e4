SELECT a.attname::pg_catalog.text AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS sql_type
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relname = $2
   AND (n.nspname = $1 OR ($1 = 'pg_temp' AND n.oid = pg_catalog.pg_my_temp_schema()))
 ORDER BY a.attnum
