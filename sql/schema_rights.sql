SELECT pg_catalog.has_schema_privilege(oid, 'USAGE') AS may_use,
       pg_catalog.has_schema_privilege(oid, 'CREATE') AS may_create
  FROM pg_catalog.pg_namespace
 WHERE nspname = $1
