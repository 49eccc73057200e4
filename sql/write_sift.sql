DELETE FROM {stage} AS ext
 WHERE {filter} IS NOT TRUE{and}
