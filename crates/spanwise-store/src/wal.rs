//! The write-ahead log: is this body durable, and what was logged before the last stop?
//!
//! Files of about 64 MiB named after the sequence of their first record. A file is written once
//! with zeros and used again when its records have been sealed: overwriting allocated blocks makes
//! a commit several times faster, and the disk cannot fill up in the middle of one. What tells a
//! record from an older one behind it is the file's salt, which every checksum starts with.
//!
//! Sequences are contiguous through all files. So a record that is missing in the middle is
//! noticed, while whatever follows the last record of a file is left over from a crash when the
//! next file goes on with the very next sequence.

mod record;
mod recover;
mod writer;

pub(crate) use self::record::Logged;
pub(crate) use self::recover::{Recovered, recover};
pub(crate) use self::writer::{Files, Wal, WalError};

/// How large a file is allocated; a larger group of records makes a larger file.
const FILE_BYTES: u64 = 64 << 20;

#[cfg(test)]
mod tests;
