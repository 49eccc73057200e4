SELECT EXISTS (SELECT 1 FROM {ledger} WHERE job = $1 AND instance = $2 AND batch = $3) AS holds
