SELECT "partition", pg_catalog.count(*) AS letters,
       pg_catalog.count(CASE WHEN NOT has_record THEN 1 END) AS without_record,
       pg_catalog.count(CASE WHEN {alone}
                             THEN 1 END) AS fitting
  FROM {table}
 WHERE job = $1 AND {where}
 GROUP BY 1
 ORDER BY 1
