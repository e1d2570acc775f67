//! Encryption and who is trusted, for HTTP and gRPC alike.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What is to be known about encryption beyond the endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tls {
    /// Who is trusted; the system's authorities where nothing is said.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// What this process identifies itself with.
    pub identity: Option<Arc<Identity>>,
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    /// The key as it was read, which was checked.
    pub key_pem: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

impl Tls {
    /// Certificates of a PEM file; the error says what is wrong with it.
    pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(certificates),
            Ok(_) => Err("has no certificate in it".to_owned()),
            Err(error) => Err(format!("is not a PEM file: {error}")),
        }
    }

    /// The private key of a PEM file, to go with certificates.
    pub fn identity(
        chain: Vec<CertificateDer<'static>>,
        key_pem: Vec<u8>,
    ) -> Result<Arc<Identity>, String> {
        match PrivateKeyDer::from_pem_slice(&key_pem) {
            Ok(_) => Ok(Arc::new(Identity { chain, key_pem })),
            Err(_) => Err("has no private key in it".to_owned()),
        }
    }

    /// Who is trusted.
    pub fn trusted(&self) -> Vec<CertificateDer<'static>> {
        static SYSTEM: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
        let of_system = || {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                tracing::warn!("the system has no certificate authorities; no server is trusted");
            }
            found.certs
        };
        let authorities = self.authorities.as_ref();
        authorities.unwrap_or_else(|| SYSTEM.get_or_init(of_system)).clone()
    }

    /// The cryptography in use.
    pub fn provider() -> Arc<CryptoProvider> {
        static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
        Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
    }
}
