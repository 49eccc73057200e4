SELECT pg_catalog.has_table_privilege(c.oid, 'SELECT') AS may_read,
       pg_catalog.has_table_privilege(c.oid, 'INSERT') AS may_append,
       ARRAY(SELECT wanted.name
               FROM pg_catalog.unnest($3::pg_catalog.text[]) AS wanted (name)
              WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a
                                 WHERE a.attrelid = c.oid AND a.attname = wanted.name AND NOT a.attisdropped)) AS lacking
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2
