//! Ctrl-C. A prompt hides the cursor, so whoever ends the process must show it again; a run that is writing finishes its
//! roll-back first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

static WRITING: AtomicBool = AtomicBool::new(false);
/// Somebody has seen the request and is ending the run.
static SEEN: AtomicBool = AtomicBool::new(false);
static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Installs the handler; once a process.
pub fn install() {
    // A second installation (after questions, before writing; in tests) fails and changes nothing.
    let _ = ctrlc::set_handler(|| {
        REQUESTED.store(true, Ordering::SeqCst);
        if !WRITING.load(Ordering::SeqCst) && !SEEN.load(Ordering::SeqCst) {
            let _ = console::Term::stderr().show_cursor();
            #[allow(clippy::exit, reason = "a prompt blocks the main thread in a read that nothing else can end")]
            std::process::exit(i32::from(crate::exit::Exit::Cancelled.code()));
        }
    });
    // The handler above runs on a thread of its own, some time later. Who writes must see the request at its next look, so
    // the signal itself sets the flag as well.
    #[cfg(unix)]
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        let _ = signal_hook::flag::register(signal, REQUESTED.clone());
    }
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

/// Whether the user pressed Ctrl-C. Who learns that it is so ends the run.
pub fn requested() -> bool {
    let requested = REQUESTED.load(Ordering::SeqCst);
    if requested {
        SEEN.store(true, Ordering::SeqCst);
    }
    requested
}
