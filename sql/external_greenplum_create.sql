CREATE EXTERNAL TABLE {table} (
{columns}
)
LOCATION ({location})
FORMAT {format}
ENCODING {encoding}
LOG ERRORS SEGMENT REJECT LIMIT {reject_limit} ROWS
