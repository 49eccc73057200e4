SELECT DISTINCT ON ("partition") "partition", seq, kind, first, next, topic_id, leader_epoch, instance, batch
  FROM {ledger}
 WHERE job = $1
 ORDER BY "partition", seq DESC
