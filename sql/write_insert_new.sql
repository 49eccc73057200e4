INSERT INTO {target} ({columns})
SELECT {fields}
  FROM {chosen} AS ext
 WHERE {kept}NOT EXISTS (SELECT 1 FROM {target} AS into_table WHERE {match})
