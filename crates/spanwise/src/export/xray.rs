//! AWS X-Ray's daemon, over UDP.

use std::time::Instant;

use spanwise_model::wire::xray::{ANNOTATIONS, encode_datagram};

use super::udp::Datagrams;
use super::{Batch, Delivered, ExportError, Exporter};

/// Sends each span as a document of its own.
pub(crate) struct XrayDaemon {
    socket: Datagrams,
}

impl XrayDaemon {
    pub fn new(address: String) -> Self {
        XrayDaemon { socket: Datagrams::to(address) }
    }
}

impl Exporter for XrayDaemon {
    fn export(&mut self, batch: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        let mut all = Delivered::default();
        for span in batch.spans() {
            if let Some(datagram) = encode_datagram(span, ANNOTATIONS) {
                self.socket.send(&datagram)?;
            } else {
                all.rejected += 1;
                "fits into no document".clone_into(&mut all.reason);
            }
        }
        Ok(all)
    }

    fn name(&self) -> &'static str {
        "xray"
    }
}
