//! What tests put in place of the outside world.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk;

type FreeBytes = dyn Fn(&Path) -> io::Result<u64> + Send + Sync;
type Step = dyn Fn(&'static str) -> io::Result<()> + Send + Sync;

/// Where a test can make the disk look full, and stop the store or fail it between two steps.
#[derive(Clone)]
pub struct Hooks {
    free_bytes: Arc<FreeBytes>,
    step: Option<Arc<Step>>,
}

impl Default for Hooks {
    fn default() -> Self {
        Hooks { free_bytes: Arc::new(disk::free_bytes), step: None }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl Hooks {
    /// Answers how much room is left.
    #[must_use]
    pub fn with_free_bytes(
        mut self,
        free_bytes: impl Fn(&Path) -> io::Result<u64> + Send + Sync + 'static,
    ) -> Self {
        self.free_bytes = Arc::new(free_bytes);
        self
    }

    /// Is called before each step that changes the disk, with its name; an error fails the step.
    #[must_use]
    pub fn with_step(
        mut self,
        step: impl Fn(&'static str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.step = Some(Arc::new(step));
        self
    }

    pub(crate) fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        (self.free_bytes)(dir)
    }

    pub(crate) fn step(&self, name: &'static str) -> io::Result<()> {
        self.step.as_ref().map_or(Ok(()), |step| step(name))
    }
}
