//! A mock cluster in the process, for the tests of this module.
