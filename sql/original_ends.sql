SELECT {partition}::pg_catalog.int4 AS partition,
       max({end})::pg_catalog.int8 AS furthest,
       count(*) AS rows,
       coalesce(sum(CASE WHEN begins_next = {end} THEN 1 ELSE 0 END), 0)::pg_catalog.int8 AS meets,
       coalesce(sum(CASE WHEN begins_next = {end} + 1 THEN 1 ELSE 0 END), 0)::pg_catalog.int8 AS follows
  FROM (SELECT {partition}, {end}, lead({begin}) OVER (PARTITION BY {partition} ORDER BY {begin}, {end}) AS begins_next
          FROM {table}) commits
 GROUP BY 1
 ORDER BY 1
