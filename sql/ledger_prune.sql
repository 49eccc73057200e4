DELETE FROM {ledger} l
 USING (SELECT "partition", max(seq) AS newest FROM {ledger} WHERE job = $1 GROUP BY "partition") AS last
 WHERE l.job = $1 AND l.partition = last.partition AND l.seq <= last.newest - $2
