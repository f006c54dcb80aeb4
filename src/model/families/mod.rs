//! Architectures, one file a family: a table of what the paper says, and how that becomes a graph.

pub mod ghostnet;
