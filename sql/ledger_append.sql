INSERT INTO {ledger} (job, "partition", seq, kind, first, next, leader_epoch, inserted, rejected, filtered, bytes,
                      topic_id, batch, started_at, ended_at, instance, host, pid, os_user,
                      topic, database, schema, "table", records, holes, decoded, refused, dropped, "rows")
SELECT $1::pg_catalog.text, m.partition, m.seq, m.kind, m.first, m.next, m.leader_epoch,
       m.inserted, m.rejected, m.filtered, m.bytes,
       $12::pg_catalog.text, $13::pg_catalog.int8,
       pg_catalog.transaction_timestamp(), pg_catalog.statement_timestamp(),
       $14::pg_catalog.text, $15::pg_catalog.text, $16::pg_catalog.int4, $17::pg_catalog.text,
       $18::pg_catalog.text, $19::pg_catalog.text, $20::pg_catalog.text, $21::pg_catalog.text,
       m.records, m.holes, m.decoded, m.refused, m.dropped, m."rows"
  FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.int4[]), pg_catalog.unnest($3::pg_catalog.int8[]),
                  pg_catalog.unnest($4::pg_catalog.text[]), pg_catalog.unnest($5::pg_catalog.int8[]),
                  pg_catalog.unnest($6::pg_catalog.int8[]), pg_catalog.unnest($7::pg_catalog.int4[]),
                  pg_catalog.unnest($8::pg_catalog.int8[]), pg_catalog.unnest($9::pg_catalog.int8[]),
                  pg_catalog.unnest($10::pg_catalog.int8[]), pg_catalog.unnest($11::pg_catalog.int8[]),
                  pg_catalog.unnest($22::pg_catalog.int8[]), pg_catalog.unnest($23::pg_catalog.int8[]),
                  pg_catalog.unnest($24::pg_catalog.int8[]), pg_catalog.unnest($25::pg_catalog.int8[]),
                  pg_catalog.unnest($26::pg_catalog.int8[]), pg_catalog.unnest($27::pg_catalog.int8[]))
       AS m ("partition", seq, kind, first, next, leader_epoch, inserted, rejected, filtered, bytes,
             records, holes, decoded, refused, dropped, "rows")
 ORDER BY m.partition
