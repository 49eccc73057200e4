SELECT rolsuper OR pg_catalog.pg_has_role(current_user, 'pg_execute_server_program', 'USAGE') AS may_read_external
  FROM pg_catalog.pg_roles
 WHERE rolname = current_user
