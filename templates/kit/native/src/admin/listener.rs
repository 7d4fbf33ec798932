// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! What the admin API listens on. A socket has mode 0600 from the moment that it has its name, and one that an earlier process
//! left behind is replaced; one that still answers is another server's and stays.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use axum::Router;
use kit::secret::Secret;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::failure::Hinted;
use crate::settings::AdminListen;

pub(super) enum Listener {
    Unix { listener: UnixListener, file: File },
    Tcp { listener: TcpListener, token: Secret },
}

/// A socket's file. It goes with the process that listens there.
pub(super) struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Nothing where there is to be none.
    pub(super) async fn bind(listen: &AdminListen) -> anyhow::Result<Option<Self>> {
        let failed = || format!("failed to listen for the operator on {listen}");
        Ok(match listen {
            AdminListen::None => None,
            AdminListen::Tcp { address, token } => {
                let listener = TcpListener::bind(address).await.with_context(failed)?;
                Some(Self::Tcp { listener, token: token.clone() })
            }
            AdminListen::Unix { path, .. } => {
                if UnixStream::connect(path).await.is_ok() {
                    let hint = "stop the other server, or give this one an `admin.listen` of its own";
                    anyhow::bail!(Hinted::new(format!("another server answers its operator on {listen}"), hint));
                }
                let (listener, file) = socket(path).with_context(failed)?;
                Some(Self::Unix { listener, file })
            }
        })
    }

    /// What a caller has to show.
    pub(super) fn token(&self) -> Option<&Secret> {
        match self {
            Self::Tcp { token, .. } => Some(token),
            Self::Unix { .. } => None,
        }
    }

    /// Answers until the process ends.
    pub(super) async fn serve(self, routes: Router) {
        let ended = match self {
            Self::Tcp { listener, .. } => axum::serve(listener, routes).await,
            Self::Unix { listener, file } => {
                let ended = axum::serve(listener, routes).await;
                drop(file);
                ended
            }
        };
        if let Err(error) = ended {
            tracing::error!(%error, "the operator is no longer answered");
        }
    }
}

/// Made under another name, given its rights, and only then put in its place.
fn socket(path: &Path) -> std::io::Result<(UnixListener, File)> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let unnamed = path.with_extension(format!("{}", std::process::id()));
    let _ = fs::remove_file(&unnamed);
    let listener = UnixListener::bind(&unnamed)?;
    let file = File(unnamed.clone());
    fs::set_permissions(&unnamed, fs::Permissions::from_mode(0o600))?;
    fs::rename(&unnamed, path)?;
    drop(file);
    Ok((listener, File(path.to_owned())))
}
