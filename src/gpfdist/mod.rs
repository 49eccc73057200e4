//! gpfdist
