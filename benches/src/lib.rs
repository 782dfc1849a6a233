//! p2pnet-benches
