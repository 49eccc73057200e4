SELECT "partition", seq, kind, first, next, topic_id, batch, instance,
       records, holes, decoded, refused, dropped, "rows", inserted, rejected, filtered
  FROM {ledger}
 WHERE job = $1
 ORDER BY "partition", seq
