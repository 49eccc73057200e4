DELETE FROM {ledger} l
 USING (SELECT "partition", min(seq) AS oldest, max(seq) AS newest
          FROM {ledger} WHERE job = $1 GROUP BY "partition") AS has
 WHERE l.job = $1 AND l.partition = has.partition
   AND l.seq <= has.newest - $2 AND l.seq < has.oldest + $3
