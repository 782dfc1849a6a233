//! p2pnet
