INSERT INTO {target} ({columns})
SELECT {fields}
  FROM {source} AS ext{filter}
