//! Everything against real servers.
