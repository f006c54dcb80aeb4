//! Whether a JPEG file holds all of its picture.
//!
//! The decoder fills what a cut-off file lacks with grey and reports nothing, and grey is then
//! classified with confidence.

/// What follows the marker at which a file's picture ends.
const END: [u8; 2] = [0xFF, 0xD9];

/// How the picture of a file ends.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    /// With its marker.
    Marked,
    /// Without one, though all of it may be there.
    Unmarked,
    /// Before its last scan.
    CutOff,
}

/// How the picture of a file ends.
pub(super) fn end(bytes: &[u8]) -> End {
    let mut rest = &bytes[2..];
    let mut has_scan = false;
    // Of each component of a progressive file, the coefficients whose last bit no scan has brought.
    let mut missing: Vec<(u8, u64)> = Vec::new();
    // Segments before the first scan are stepped over, as an EXIF thumbnail has an end marker of
    // its own.
    while let [0xFF, marker, tail @ ..] = rest {
        rest = match (marker, tail) {
            (0xFF, _) => &rest[1..],
            (0x01 | 0xD0..=0xD7, _) => tail,
            (_, [high, low, ..]) => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let Some((segment, next)) = tail.split_at_checked(length) else { return End::CutOff };
                match marker {
                    0xC2 => {
                        let components = segment.get(8..).unwrap_or_default().as_chunks::<3>().0;
                        missing = components.iter().map(|[id, ..]| (*id, u64::MAX)).collect();
                        next
                    }
                    0xDA if !has_scan && next.windows(2).any(|pair| pair == END) => return End::Marked,
                    0xDA => {
                        has_scan = true;
                        if let Some((&count, scan)) = segment.get(2..).and_then(<[u8]>::split_first) {
                            refine(&mut missing, scan.split_at_checked(2 * usize::from(count)));
                        }
                        let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xFF | 0xD0..=0xD7);
                        &next[next.windows(2).position(is_marker).unwrap_or(next.len())..]
                    }
                    _ => next,
                }
            }
            _ => return End::CutOff,
        };
    }
    match has_scan {
        true if missing.iter().all(|(_, missing)| *missing == 0) => End::Unmarked,
        true => End::CutOff,
        // Bytes between segments that are no marker: the decoder has read the headers, so it knows
        // better.
        false => End::Marked,
    }
}

/// Notes what a scan brings: components with their tables, the first and the last coefficient, and
/// the bits before and after it.
fn refine(missing: &mut [(u8, u64)], scan: Option<(&[u8], &[u8])>) {
    let Some((components, &[first, last, bits, ..])) = scan else { return };
    if bits & 15 != 0 || first > last || last > 63 {
        return;
    }
    let band = u64::MAX >> (63 - last) & u64::MAX << first;
    for [id, _] in components.as_chunks().0 {
        missing.iter_mut().filter(|(known, _)| known == id).for_each(|(_, missing)| *missing &= !band);
    }
}

/// A file without its end marker, with an end: once as it is, and once with so much before it that
/// a decoder which still lacks a part of the picture makes another of it.
pub(super) fn with_ends(bytes: &[u8]) -> [Vec<u8>; 2] {
    // A file on a disk may be followed by zeros.
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    // One of them may belong to a byte of ones before it.
    let picture = &bytes[..bytes.len() - zeros.saturating_sub(1)];
    // No marker is in it, and its bits are of no period.
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8 & 0x7f
    });
    let noise: Vec<u8> = noise.take(1 << 12).collect();
    [[picture, &END].concat(), [picture, &noise, &END].concat()]
}
