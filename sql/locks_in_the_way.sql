SELECT DISTINCT l.pid,
       coalesce(a.usename::pg_catalog.text, '') AS role,
       coalesce(a.application_name, '') AS application_name,
       l.mode,
       n.nspname::pg_catalog.text AS schema,
       c.relname::pg_catalog.text AS name,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::pg_catalog.float8 AS seconds
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_class c ON c.oid = l.relation
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'relation'
   AND l.granted
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
   AND l.pid <> pg_catalog.pg_backend_pid()
   AND coalesce(pg_catalog.row_to_json(l) ->> 'gp_segment_id', '-1') = '-1'
   AND l.mode = ANY ($1)
   AND coalesce(a.application_name, '') NOT LIKE $2
   AND (n.nspname::pg_catalog.text, c.relname::pg_catalog.text)
       IN (SELECT * FROM ROWS FROM (pg_catalog.unnest($3::pg_catalog.text[]),
                                     pg_catalog.unnest($4::pg_catalog.text[])))
 ORDER BY 1, 4
