WITH holder AS (
    SELECT DISTINCT a.application_name
      FROM pg_catalog.pg_locks l
      JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     WHERE l.locktype = 'advisory'
       AND l.classid::pg_catalog.int8 = ($1::pg_catalog.int4::pg_catalog.int8 & 4294967295)
       AND l.objsubid = 2
       AND l.gp_segment_id = -1
)
SELECT DISTINCT a.application_name
  FROM pg_catalog.pg_stat_activity a
  JOIN pg_catalog.pg_locks l ON l.pid = a.pid
  JOIN pg_catalog.pg_class c ON c.oid = l.relation
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE a.datname = pg_catalog.current_database()
   AND a.application_name LIKE $2
   AND a.pid <> pg_catalog.pg_backend_pid()
   AND CASE a.application_name WHEN $3 THEN $6
            ELSE a.application_name NOT IN (SELECT application_name FROM holder) END
   AND l.locktype = 'relation'
   AND l.mode IN ('RowExclusiveLock', 'ExclusiveLock')
   AND l.gp_segment_id = -1
   AND (n.nspname::pg_catalog.text, c.relname::pg_catalog.text)
       IN (SELECT * FROM ROWS FROM (pg_catalog.unnest($4::pg_catalog.text[]),
                                     pg_catalog.unnest($5::pg_catalog.text[])))
