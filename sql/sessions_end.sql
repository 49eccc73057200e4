SELECT pid, pg_catalog.pg_terminate_backend(pid) AS told
  FROM pg_catalog.pg_stat_activity
 WHERE datname = pg_catalog.current_database()
   AND application_name = $1
   AND pid = coalesce($2, pid)
   AND pid <> pg_catalog.pg_backend_pid()
