SELECT DISTINCT topic
  FROM {ledger}
 WHERE job <> $1 AND database = $2 AND schema = $3 AND "table" = $4
 ORDER BY 1
