SELECT x.reloid IS NOT NULL AS is_external,
       coalesce(x.urilocation, '{}') AS locations,
       coalesce(x.fmttype::pg_catalog.text, '') AS format,
       coalesce(x.fmtopts, '') AS format_options,
       coalesce(x.rejectlimit, 0) AS reject_limit,
       coalesce(x.rejectlimittype = 'r' AND x.logerrors::pg_catalog.text IN ('t', 'true') AND NOT x.writable, false) AS is_otherwise_same,
       coalesce(pg_catalog.pg_encoding_to_char(x.encoding)::pg_catalog.text, '') AS encoding
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_exttable x ON x.reloid = c.oid
 WHERE n.nspname = $1 AND c.relname = $2
