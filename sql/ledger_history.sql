SELECT "partition", seq, kind, first, next, batch, inserted,
       rejected + coalesce(refused, 0) AS rejected, filtered + coalesce(dropped, 0) AS filtered, bytes,
       (extract(epoch FROM started_at) * 1000000)::pg_catalog.int8 AS started,
       (extract(epoch FROM ended_at) * 1000000)::pg_catalog.int8 AS ended,
       instance, host, pid
  FROM (SELECT *, pg_catalog.row_number() OVER (PARTITION BY "partition" ORDER BY seq DESC) AS age
          FROM {ledger}
         WHERE job = $1) AS history
 WHERE $2 OR age = 1
 ORDER BY CASE WHEN $2 THEN ended_at END, "partition", seq
