CREATE FOREIGN TABLE {child} () INHERITS ({table}) SERVER gpkafka_segments
OPTIONS (program {program}, format 'text', delimiter E'\t', null '\N', encoding 'UTF8');
