SELECT rolsuper OR rolcreaterextgpfd AS may_read_external
  FROM pg_catalog.pg_roles
 WHERE rolname = current_user
