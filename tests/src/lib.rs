//! p2pnet-tests
