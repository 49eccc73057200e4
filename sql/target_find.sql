SELECT c.relkind::pg_catalog.text AS kind,
       coalesce(pg_catalog.row_to_json(c) ->> 'relstorage', '') = 'x' AS is_external,
       pg_catalog.pg_relation_is_updatable(c.oid::pg_catalog.regclass, true) AS takes,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE')
           AND (pg_catalog.has_table_privilege(c.oid, 'INSERT')
                OR pg_catalog.has_any_column_privilege(c.oid, 'INSERT')) AS may_insert,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE')
           AND (pg_catalog.has_table_privilege(c.oid, 'UPDATE')
                OR pg_catalog.has_any_column_privilege(c.oid, 'UPDATE')) AS may_update,
       pg_catalog.has_table_privilege(c.oid, 'DELETE') AS may_delete,
       pg_catalog.has_table_privilege(c.oid, 'SELECT')
           OR pg_catalog.has_any_column_privilege(c.oid, 'SELECT') AS may_select
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2
