// Managed by mcpkit. To change it, list it under `[files] keep` in mcpkit.toml.
//! Random identifiers in base62, without the bias that `% 62` of a byte would have.

use crate::ports::{Rng, RngError};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `length` random characters of `[0-9A-Za-z]`, about 5.95 bits each.
pub fn random(rng: &dyn Rng, length: usize) -> Result<String, RngError> {
    let mut text = String::with_capacity(length);
    let mut bytes = [0_u8; 64];
    while text.len() < length {
        rng.fill(&mut bytes)?;
        // 248 is the largest multiple of 62 that fits a byte: what lies above would favour the first letters.
        let letters = bytes.iter().filter(|b| **b < 248).map(|b| char::from(ALPHABET[usize::from(*b) % 62]));
        text.extend(letters.take(length - text.len()));
    }
    Ok(text)
}

/// A 32-bit number as six base62 characters.
pub fn checksum(number: u32) -> String {
    let mut rest = number as usize;
    let mut digits = [0_u8; 6];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest % 62];
        rest /= 62;
    }
    digits.iter().map(|b| char::from(*b)).collect()
}

/// CRC-32 (IEEE 802.3) of `bytes`, as GitHub's token format uses it: it tells a mistyped key from an unknown one
/// without a database read. Not a security measure.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| (crc >> 8) ^ CRC_TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)])
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut crc, mut bit) = (index as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_crc32() {
        // The check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_checksum_has_six_characters() {
        assert_eq!((checksum(0), checksum(u32::MAX)), ("000000".to_owned(), "4gfFC3".to_owned()));
    }
}
