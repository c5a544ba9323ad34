//! The reference's proof of an upload's progress (`s3_multipart_uploads.upload_signature`).
//!
//! It seals `progress:<bytes>` with AES-256-CBC under a key that OpenSSL's old derivation makes
//! of `AUTH_ENCRYPTION_KEY` and a salt (EVP_BytesToKey with MD5, one round). We never read it:
//! limits are checked against the parts themselves. We write it so that the reference can go on
//! with an upload that we began.

use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The proof that nothing has been received yet; `None` where the cipher refuses (it never does).
pub(crate) fn no_progress(encryption_key: &str) -> Option<String> {
    let salt: [u8; 8] = rand::random();
    seal(b"progress:0", encryption_key.as_bytes(), salt)
}

fn seal(plain: &[u8], passphrase: &[u8], salt: [u8; 8]) -> Option<String> {
    let (key, iv) = derive(passphrase, salt);
    let key = UnboundCipherKey::new(&AES_256, &key).ok()?;
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).ok()?;
    let mut sealed = plain.to_vec();
    let iv = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(&mut sealed, iv).ok()?;
    let mut out = b"Salted__".to_vec();
    out.extend_from_slice(&salt);
    out.extend_from_slice(&sealed);
    Some(STANDARD.encode(out))
}

/// Digests of (previous digest, passphrase, salt), one after the other: 32 bytes of key, 16 of IV.
fn derive(passphrase: &[u8], salt: [u8; 8]) -> ([u8; 32], [u8; 16]) {
    let mut previous: Vec<u8> = Vec::new();
    let mut next = || {
        let mut input = std::mem::take(&mut previous);
        input.extend_from_slice(passphrase);
        input.extend_from_slice(&salt);
        let digest = rowlock_digest::md5(&input);
        previous = digest.to_vec();
        digest
    };
    let (first, second, iv) = (next(), next(), next());
    let mut key = [0; 32];
    key[..16].copy_from_slice(&first);
    key[16..].copy_from_slice(&second);
    (key, iv)
}

#[cfg(test)]
mod tests {
    use super::seal;

    #[test]
    fn seals_as_openssl_does() {
        // printf progress:0 | openssl enc -aes-256-cbc -md md5 -pass pass:secret
        //   -S 0102030405060708 -base64, with the Salted__ head in front
        let sealed = seal(b"progress:0", b"secret", [1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(sealed, "U2FsdGVkX18BAgMEBQYHCNlzOFKepnycEFdCjuyOFaI=");
    }
}
