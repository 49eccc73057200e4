SELECT a.pid,
       a.usename::pg_catalog.text AS role,
       a.application_name,
       extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::pg_catalog.float8 AS seconds
  FROM pg_catalog.pg_stat_activity a
 WHERE a.datname = pg_catalog.current_database()
   AND a.application_name LIKE 'gpkafka:%'
   AND a.pid <> pg_catalog.pg_backend_pid()
   AND a.state LIKE 'idle in transaction%'
   AND a.state_change < pg_catalog.clock_timestamp() - $1 * '1 second'::pg_catalog.interval
 ORDER BY a.pid
