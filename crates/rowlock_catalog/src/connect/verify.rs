//! Which server certificates are believed.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{ConnectError, TlsMode};

/// Certificates to trust.
#[derive(Debug)]
pub(super) struct Roots {
    store: RootCertStore,
    /// As given, to recognise a server that shows one of them as its own.
    given: Vec<CertificateDer<'static>>,
}

/// Reads certificates from PEM text.
pub(super) fn roots_from_pem(pem: &str) -> Result<Roots, ConnectError> {
    let given = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(&format!("not PEM text ({error:?})")))?;
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(given.iter().cloned());
    if added == 0 {
        return Err(unusable("no certificate found between BEGIN and END CERTIFICATE lines"));
    }
    Ok(Roots { store, given })
}

/// Reads certificates from what `sslrootcert` names: a file, or the machine's own by `system`.
pub(super) fn roots_from_name(name: &str) -> Result<Roots, ConnectError> {
    if name == "system" {
        return roots_of_the_machine();
    }
    let pem = std::fs::read_to_string(name)
        .map_err(|error| unusable(&format!("the file that sslrootcert names: {error}")))?;
    roots_from_pem(&pem)
}

fn roots_of_the_machine() -> Result<Roots, ConnectError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(unusable(
            "this machine has no certificate authorities (package ca-certificates); \
             give them with DATABASE_SSL_ROOT_CERT",
        ));
    }
    Ok(Roots { store, given: Vec::new() })
}

/// The verifier for a mode and the certificates given, if any.
pub(super) fn verifier(
    mode: TlsMode,
    roots: Option<Roots>,
) -> Result<Arc<dyn ServerCertVerifier>, ConnectError> {
    let roots = match (mode, roots) {
        (TlsMode::Disable | TlsMode::NoVerify, _) => None,
        (TlsMode::Prefer | TlsMode::Require, given) => given,
        (TlsMode::VerifyCa | TlsMode::VerifyFull, Some(given)) => Some(given),
        (TlsMode::VerifyCa | TlsMode::VerifyFull, None) => Some(roots_of_the_machine()?),
    };
    let check_name = mode == TlsMode::VerifyFull;
    Ok(Arc::new(Verifier { roots, check_name, provider: aws_lc_rs::default_provider() }))
}

#[derive(Debug)]
struct Verifier {
    roots: Option<Roots>,
    check_name: bool,
    provider: CryptoProvider,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let chain = verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &roots.store,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        );
        match chain {
            Ok(()) if self.check_name => verify_server_name(&certificate, server_name)?,
            Ok(()) => {}
            // A self-signed certificate given as its own authority: the usual way to secure a
            // single server. It is the very one that was asked for, so its name adds nothing.
            Err(error) if roots.given.iter().any(|given| given == end_entity) => {
                if is_out_of_date(&error) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn is_out_of_date(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    )
}

fn unusable(reason: &str) -> ConnectError {
    ConnectError::Certificates(reason.to_owned())
}
