//! Keys and the algorithms each may verify.

use std::fmt;

use aws_lc_rs::{hmac, signature};

use crate::HmacAlgorithm;

/// The algorithms of RFC 7518 and RFC 8037 that tokens may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Hmac(HmacAlgorithm),
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    /// Reads a header's or a key's `alg`; `none` and everything unknown are nothing.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            hmac => Self::Hmac(hmac.parse().ok()?),
        })
    }
}

/// An elliptic curve of RFC 7518, section 6.2.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

/// What verifies a signature. The type of a key alone decides which algorithms it serves, so a
/// public key can never verify an HMAC.
#[derive(Clone)]
pub(crate) enum Material {
    Secret(Vec<u8>),
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The uncompressed point.
    Ec(Curve, Vec<u8>),
    Ed25519(Vec<u8>),
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret(_) => "Secret",
            Self::Rsa { .. } => "Rsa",
            Self::Ec(..) => "Ec",
            Self::Ed25519(_) => "Ed25519",
        })
    }
}

impl Material {
    /// Whether a key of this type is meant for that algorithm.
    pub(crate) fn serves(&self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match self {
            Self::Secret(_) => matches!(algorithm, A::Hmac(_)),
            Self::Rsa { .. } => {
                matches!(algorithm, A::Rs256 | A::Rs384 | A::Rs512 | A::Ps256 | A::Ps384 | A::Ps512)
            }
            Self::Ec(Curve::P256, _) => algorithm == A::Es256,
            Self::Ec(Curve::P384, _) => algorithm == A::Es384,
            Self::Ec(Curve::P521, _) => algorithm == A::Es512,
            Self::Ed25519(_) => algorithm == A::EdDsa,
        }
    }

    /// True when the signature over the message is this key's, by an algorithm it serves.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        use Algorithm as A;
        match (self, algorithm) {
            (Self::Secret(secret), A::Hmac(hash)) => {
                let key = hmac::Key::new(hmac_algorithm(hash), secret);
                hmac::verify(&key, message, signature).is_ok()
            }
            (Self::Rsa { modulus, exponent }, _) => {
                let Some(parameters) = rsa_parameters(algorithm) else { return false };
                signature::RsaPublicKeyComponents { n: modulus, e: exponent }
                    .verify(parameters, message, signature)
                    .is_ok()
            }
            (Self::Ec(Curve::P256, point), A::Es256) => {
                verify(&signature::ECDSA_P256_SHA256_FIXED, point, message, signature)
            }
            (Self::Ec(Curve::P384, point), A::Es384) => {
                verify(&signature::ECDSA_P384_SHA384_FIXED, point, message, signature)
            }
            (Self::Ec(Curve::P521, point), A::Es512) => {
                verify(&signature::ECDSA_P521_SHA512_FIXED, point, message, signature)
            }
            (Self::Ed25519(point), A::EdDsa) => {
                verify(&signature::ED25519, point, message, signature)
            }
            _ => false,
        }
    }
}

fn verify(
    algorithm: &'static dyn signature::VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    signature::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn hmac_algorithm(algorithm: HmacAlgorithm) -> hmac::Algorithm {
    match algorithm {
        HmacAlgorithm::Hs256 => hmac::HMAC_SHA256,
        HmacAlgorithm::Hs384 => hmac::HMAC_SHA384,
        HmacAlgorithm::Hs512 => hmac::HMAC_SHA512,
    }
}

/// The HMAC of the message.
pub(crate) fn hmac_sign(algorithm: HmacAlgorithm, secret: &[u8], message: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac_algorithm(algorithm), secret), message)
}
