SELECT a.attname::pg_catalog.text AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS sql_type,
       a.attnotnull AS is_not_null,
       a.atthasdef AS has_default,
       coalesce(pg_catalog.row_to_json(a) ->> 'attgenerated', '') <> ''
           OR coalesce(pg_catalog.row_to_json(a) ->> 'attidentity', '') = 'a' AS is_generated
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
