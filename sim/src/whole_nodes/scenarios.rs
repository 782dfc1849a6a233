//! The ready scenarios, one a file.

pub(crate) mod crash_restart;
pub(crate) mod lossy_lan;
pub(crate) mod partition_heal;
pub(crate) mod share_file;
pub(crate) mod simultaneous_start;
