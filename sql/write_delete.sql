DELETE FROM {target} AS into_table
 USING {chosen} AS ext
 WHERE {match}{and}
