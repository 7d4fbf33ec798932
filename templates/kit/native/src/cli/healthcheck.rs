// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! `healthcheck`: for container images without a shell and for process supervisors.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks `/health/ready` of the server that listens on `bind`.
pub(super) fn run(bind: SocketAddr) -> anyhow::Result<()> {
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let address = SocketAddr::new(ip, bind.port());
    let answer = ask(address).with_context(|| format!("failed to ask the server on {address}"))?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(status) => bail!("the server on {address} is not ready: status {status}"),
        None => bail!("the server on {address} does not speak HTTP"),
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
