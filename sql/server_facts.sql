SELECT pg_catalog.version() AS version,
       pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS version_num,
       EXISTS (SELECT FROM pg_catalog.pg_class
                WHERE relname = 'gp_segment_configuration'
                  AND relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')) AS has_segments,
       pg_catalog.current_setting('server_encoding') = 'UTF8' AS is_utf8,
       pg_catalog.pg_backend_pid() AS pid,
       current_user::pg_catalog.text AS role
