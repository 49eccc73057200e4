SELECT seen."partition", span.at,
       pg_catalog.sum(seen.times)::pg_catalog.int8 AS "rows", pg_catalog.count(*) AS offsets,
       pg_catalog.sum(CASE WHEN seen.times > 1 THEN 1 ELSE 0 END)::pg_catalog.int8 AS repeated,
       pg_catalog.min(CASE WHEN seen.times > 1 THEN seen."offset" END) AS first_repeated,
       pg_catalog.min(seen."offset") AS lowest, pg_catalog.max(seen."offset") AS highest
  FROM (SELECT {partition}::pg_catalog.int8 AS "partition", {offset}::pg_catalog.int8 AS "offset",
               pg_catalog.count(*) AS times
          FROM {target}{where}
         GROUP BY 1, 2) AS seen
  LEFT JOIN ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.int8[]),
                       pg_catalog.unnest($3::pg_catalog.int8[]), pg_catalog.unnest($4::pg_catalog.int8[]))
            AS span (at, "partition", first, next)
    ON span."partition" = seen."partition" AND seen."offset" >= span.first AND seen."offset" < span.next
 GROUP BY 1, 2
 ORDER BY 1, 2
