SELECT c.relkind = 'r' AND f.ftrelid IS NOT NULL AS is_parent, f.ftoptions AS options
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_inherits i ON i.inhparent = c.oid
  LEFT JOIN pg_catalog.pg_class child ON child.oid = i.inhrelid
  LEFT JOIN pg_catalog.pg_foreign_table f ON f.ftrelid = i.inhrelid
 WHERE n.nspname = $1 AND c.relname = $2
 ORDER BY pg_catalog.length(child.relname), child.relname
