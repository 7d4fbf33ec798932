//! Ctrl-C. A prompt hides the cursor, so whoever ends the process must show it again; a run that is writing finishes its
//! roll-back first.

use std::sync::atomic::{AtomicBool, Ordering};

static WRITING: AtomicBool = AtomicBool::new(false);
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Installs the handler; once a process.
pub fn install() {
    // A second installation (in tests) fails and changes nothing.
    let _ = ctrlc::set_handler(|| {
        REQUESTED.store(true, Ordering::SeqCst);
        if !WRITING.load(Ordering::SeqCst) {
            let _ = console::Term::stderr().show_cursor();
            #[allow(clippy::exit, reason = "a prompt blocks the main thread in a read that nothing else can end")]
            std::process::exit(i32::from(crate::exit::Exit::Cancelled.code()));
        }
    });
}

/// While this lives, Ctrl-C only asks: the writer looks at [`requested`] and rolls back.
pub struct Writing(());

impl Writing {
    /// Begins to write.
    pub fn begin() -> Self {
        WRITING.store(true, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.store(false, Ordering::SeqCst);
    }
}

/// Whether the user pressed Ctrl-C.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
