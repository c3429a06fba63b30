//! Owns what a listener needs to end its clients' TLS: certificates and their key, out of PEM texts.
//! Reads no files and moves no bytes; the record layer of one connection is in `tls/records.rs`.
//! Read: RFC 8446, the documentation of `rustls::server`.

mod records;
mod wire;

use std::{fmt, sync::Arc};

pub(crate) use records::{Records, Taken};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
pub(crate) use wire::Wire;

/// That a listener ends its clients' TLS, and with which certificate.
#[derive(Clone)]
pub struct Termination {
    config: Arc<ServerConfig>,
}

/// Why a certificate and a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The first text has no certificate.
    #[error(
        "the certificate's file has no certificate that can be read; give PEM, the server's own first"
    )]
    NoCertificate,
    /// The second text has no private key.
    #[error("the key's file has no private key that can be read; give PEM, without a passphrase")]
    NoKey,
    /// They cannot be used together.
    #[error(
        "certificate and key cannot be used: {why}; give the key that the first certificate was made for"
    )]
    Unfit {
        /// What the library says.
        why: String,
    },
}

impl Termination {
    /// Out of the PEM texts of a chain of certificates, the server's own first, and of its private key.
    ///
    /// # Errors
    /// [`CertificateError`] where one of them cannot be read, or they do not fit together.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NoCertificate)?;
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
        let unfit = |error: rustls::Error| CertificateError::Unfit { why: error.to_string() };
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unfit)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unfit)?;
        Ok(Self { config: Arc::new(config) })
    }
}

impl fmt::Debug for Termination {
    /// Nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Termination").finish_non_exhaustive()
    }
}

impl PartialEq for Termination {
    /// The same reading of the same files.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }
}

impl Eq for Termination {}
