UPDATE {target} AS into_table
   SET {set}
  FROM {chosen} AS ext
 WHERE {match}{and}
