//! Datagrams to one address. Nobody says whether they arrive.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use super::ExportError;

/// A socket that is opened when it is first needed, and anew after a failure.
pub(super) struct Datagrams {
    address: String,
    open: Option<(UdpSocket, SocketAddr)>,
}

impl Datagrams {
    /// To `host:port`.
    pub fn to(address: String) -> Self {
        Datagrams { address, open: None }
    }

    pub fn send(&mut self, datagram: &[u8]) -> Result<(), ExportError> {
        let sent = match &self.open {
            Some((socket, to)) => socket.send_to(datagram, to),
            None => open(&self.address).and_then(|(socket, to)| {
                let sent = socket.send_to(datagram, to);
                self.open = Some((socket, to));
                sent
            }),
        };
        match sent {
            Ok(_) => Ok(()),
            Err(error) => {
                self.open = None;
                Err(ExportError::later(format!("{}: {error}", self.address)))
            }
        }
    }
}

fn open(address: &str) -> std::io::Result<(UdpSocket, SocketAddr)> {
    let unknown = || std::io::Error::new(std::io::ErrorKind::NotFound, "the host is not known");
    let to = address.to_socket_addrs()?.next().ok_or_else(unknown)?;
    // Not connected: a receiver that is away for a moment then is no error of the next datagram.
    let socket = match to {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?,
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?,
    };
    Ok((socket, to))
}
