//! greenplum
