//! p2pnet-sim
