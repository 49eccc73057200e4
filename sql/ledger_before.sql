SELECT l.partition, l.seq, l.next, l.batch, l.instance, l.host, l.pid
  FROM {ledger} l
  JOIN ROWS FROM (pg_catalog.unnest($2::pg_catalog.int4[]),
                  pg_catalog.unnest($3::pg_catalog.int8[])) AS wanted ("partition", seq)
    ON wanted.partition = l.partition AND (wanted.seq = l.seq OR wanted.seq = 0 AND l.seq > 1)
 WHERE l.job = $1
 ORDER BY l.partition
