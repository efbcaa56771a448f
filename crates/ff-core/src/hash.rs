//! FNV-1a digests for logs and start offsets; not for keys, signatures or anything an attacker picks.

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The 64-bit FNV-1a hash.
///
/// ```
/// assert_eq!(ff_core::hash::fnv1a_u64(b"a"), 0xaf63dc4c8601ec8c);
/// ```
#[must_use]
pub fn fnv1a_u64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(OFFSET_BASIS, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// Eight hex digits that stand for a text in a log line: both halves of the hash, xored.
///
/// ```
/// assert_eq!(ff_core::hash::fnv1a_xor8hex("a").len(), 8);
/// ```
#[must_use]
pub fn fnv1a_xor8hex(text: &str) -> String {
    let hash = fnv1a_u64(text.as_bytes());
    let folded = (hash ^ (hash >> 32)) & 0xffff_ffff;
    format!("{folded:08x}")
}

/// The hash modulo `modulus`, and 0 for modulus 0.
#[must_use]
pub fn fnv1a_u16_mod(text: &str, modulus: u16) -> u16 {
    if modulus == 0 {
        return 0;
    }
    let rest = fnv1a_u64(text.as_bytes()) % u64::from(modulus);
    u16::try_from(rest).expect("a remainder is smaller than its modulus")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_agrees_with_published_vectors() {
        assert_eq!(fnv1a_u64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a_u64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a_u64(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_digest_always_has_eight_digits() {
        assert_eq!(fnv1a_xor8hex(""), format!("{:08x}", 0xcbf2_9ce4_u32 ^ 0x8422_2325));
        for number in 0..1_000 {
            assert_eq!(fnv1a_xor8hex(&number.to_string()).len(), 8);
        }
    }

    #[test]
    fn a_remainder_is_smaller_than_its_modulus() {
        assert_eq!(fnv1a_u16_mod("x", 0), 0);
        assert_eq!(fnv1a_u16_mod("x", 1), 0);
        for number in 0..1_000 {
            assert!(fnv1a_u16_mod(&number.to_string(), 7) < 7);
            let _ = fnv1a_u16_mod(&number.to_string(), u16::MAX);
        }
    }
}
