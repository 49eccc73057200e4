//! How fast encode is; nothing yet.

fn main() {}
