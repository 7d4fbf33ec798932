// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! The spill: a file of this machine that the ledger goes to while the database is away. Each frame is its length, its CRC-32
//! and its bytes, and is on the disk before anybody relies upon it; a frame that a crash has torn is cut off at the next start.
//! One process at a time has the file.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kit::ports::{BoxFuture, Frame, Spill, SpillError};
use kit::token::crc32;

/// Length and CRC, four bytes each.
const HEAD: u64 = 8;

/// A spill in a file.
pub struct SpillFile(Arc<Mutex<Open>>);

struct Open {
    file: File,
    /// Where the next frame goes. Behind it there is nothing, or what is left of a frame that could not be written.
    end: u64,
    max_bytes: u64,
}

impl SpillFile {
    /// Opens or makes the file, readable by this user only, and cuts a torn frame off its end.
    pub fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        file.try_lock().map_err(|_| io::Error::new(ErrorKind::WouldBlock, "another process has it"))?;
        // That there is such a file has to last as well.
        #[cfg(unix)]
        File::open(parent)?.sync_all()?;
        let mut open = Open { file, end: 0, max_bytes };
        let length = open.file.metadata()?.len();
        while let Some((_, next)) = open.frame(open.end, length)? {
            open.end = next;
        }
        open.cut()?;
        Ok(Self(Arc::new(Mutex::new(open))))
    }

    /// Runs `work` where waiting for the disk stops nobody else.
    fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Open) -> Result<T, SpillError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, SpillError>> {
        let open = self.0.clone();
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&mut locked(&open))).await;
            done.unwrap_or(Err(SpillError::Broken))
        })
    }
}

fn locked(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Open {
    /// The frame at `position` and where it ends; `None` if there is no whole one before `length`.
    fn frame(&mut self, position: u64, length: u64) -> io::Result<Option<Frame>> {
        let mut head = [0; HEAD as usize];
        if length < position + HEAD {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(position))?;
        self.file.read_exact(&mut head)?;
        let [a, b, c, d, crc @ ..] = head;
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        let next = position + HEAD + size;
        if size == 0 || length < next {
            return Ok(None);
        }
        let mut frame = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.file.read_exact(&mut frame)?;
        Ok((crc32(&frame) == u32::from_le_bytes(crc)).then_some((frame, next)))
    }

    fn append(&mut self, frame: &[u8]) -> Result<(), SpillError> {
        let size = u32::try_from(frame.len()).map_err(|_| SpillError::Full)?;
        let next = self.end + HEAD + u64::from(size);
        if next > self.max_bytes {
            return Err(SpillError::Full);
        }
        let whole = [&size.to_le_bytes()[..], &crc32(frame).to_le_bytes(), frame].concat();
        let written = self.file.seek(SeekFrom::Start(self.end)).and_then(|_| self.file.write_all(&whole));
        match written.and_then(|()| self.file.sync_data()) {
            Ok(()) => {
                self.end = next;
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "failed to write to the spill");
                // If this fails too, the next frame is written over it.
                let _ = self.cut();
                let full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
                Err(if full { SpillError::Full } else { SpillError::Broken })
            }
        }
    }

    /// Takes away what is behind the last whole frame.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.sync_all()
    }
}

impl Spill for SpillFile {
    fn append<'a>(&'a self, frame: &'a [u8]) -> BoxFuture<'a, Result<(), SpillError>> {
        let frame = frame.to_vec();
        self.on_disk(move |open| open.append(&frame))
    }

    fn read(&self, position: u64) -> BoxFuture<'_, Result<Option<Frame>, SpillError>> {
        self.on_disk(move |open| {
            let end = open.end;
            match open.frame(position, end) {
                Ok(Some(found)) => Ok(Some(found)),
                Ok(None) if position >= end => Ok(None),
                // It was whole when it was written.
                Ok(None) | Err(_) => Err(SpillError::Broken),
            }
        })
    }

    fn clear(&self) -> BoxFuture<'_, Result<(), SpillError>> {
        self.on_disk(|open| {
            let before = std::mem::replace(&mut open.end, 0);
            open.cut().map_err(|_| {
                open.end = before;
                SpillError::Broken
            })
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::testing::TempFolder;

    async fn frames(spill: &SpillFile) -> Vec<Vec<u8>> {
        let (mut found, mut position) = (Vec::new(), 0);
        while let Some((frame, next)) = spill.read(position).await.unwrap() {
            found.push(frame);
            position = next;
        }
        found
    }

    #[tokio::test]
    async fn frames_come_back_in_their_order_also_after_a_restart() {
        let folder = TempFolder::new();
        let path = folder.path().join("new/spill");
        let spill = SpillFile::open(&path, 1_000).unwrap();
        spill.append(b"one").await.unwrap();
        spill.append(b"two").await.unwrap();
        assert_eq!(frames(&spill).await, [b"one", b"two"]);
        drop(spill);
        let spill = SpillFile::open(&path, 1_000).unwrap();
        spill.append(b"3").await.unwrap();
        assert_eq!(frames(&spill).await, [&b"one"[..], b"two", b"3"]);
        spill.clear().await.unwrap();
        assert_eq!((frames(&spill).await.len(), std::fs::metadata(&path).unwrap().len()), (0, 0));
    }

    #[tokio::test]
    async fn a_frame_that_was_torn_anywhere_is_cut_off() {
        let folder = TempFolder::new();
        let path = folder.path().join("spill");
        let spill = SpillFile::open(&path, 1_000).unwrap();
        spill.append(b"whole").await.unwrap();
        spill.append(b"torn away").await.unwrap();
        drop(spill);
        let (bytes, first) = (std::fs::read(&path).unwrap(), HEAD as usize + 5);
        for length in first..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let spill = SpillFile::open(&path, 1_000).unwrap();
            assert_eq!(frames(&spill).await, [b"whole"], "{length}");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), first as u64);
        }
        // The disk wrote the length and not the bytes.
        let zeros = [&bytes[..first + 8], &[0; 9]].concat();
        std::fs::write(&path, zeros).unwrap();
        assert_eq!(frames(&SpillFile::open(&path, 1_000).unwrap()).await, [b"whole"]);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_and_the_rest_stays() {
        let folder = TempFolder::new();
        let spill = SpillFile::open(&folder.path().join("spill"), 20).unwrap();
        spill.append(b"0123456789").await.unwrap();
        assert_eq!(spill.append(b"abc").await, Err(SpillError::Full));
        assert_eq!(frames(&spill).await, [b"0123456789"]);
    }

    #[test]
    fn two_processes_do_not_have_one_spill() {
        let folder = TempFolder::new();
        let path = folder.path().join("spill");
        let first = SpillFile::open(&path, 1_000).unwrap();
        let error = SpillFile::open(&path, 1_000).err().unwrap();
        assert_eq!(error.to_string(), "another process has it");
        drop(first);
        SpillFile::open(&path, 1_000).unwrap();
    }
}
