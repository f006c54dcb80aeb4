//! Which tensors share a buffer: two that are not alive at the same time may.

/// A tensor's bytes and the steps between which it is alive, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Size.
    pub bytes: usize,
    /// The step that first writes it.
    pub first: usize,
    /// The step that last reads or writes it.
    pub last: usize,
}

/// Assigns each tensor a slot; returns the tensors' slots and the slots' sizes.
///
/// Greedy by size, largest first: each goes into the free slot whose size fits best, or a new one
/// (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", MLSys 2020,
/// greedy by size).
pub fn assign_slots(tensors: &[Lifetime]) -> (Vec<usize>, Vec<usize>) {
    // By the rest to the largest number, as one kind of sort is enough for the browser package.
    let mut order: Vec<[usize; 2]> = tensors.iter().enumerate().map(|(t, tensor)| [usize::MAX - tensor.bytes, t]).collect();
    order.sort_unstable();
    let mut slot_of = vec![0; tensors.len()];
    let mut slots: Vec<(usize, Vec<usize>)> = Vec::new(); // size, tensors
    for [_, t] in order {
        let Lifetime { bytes, first, last } = tensors[t];
        let free = |others: &[usize]| others.iter().all(|&o| tensors[o].last < first || last < tensors[o].first);
        // Slots are at least as large as what comes later, and the smallest free one wastes least.
        let best = slots.iter().enumerate().filter(|(_, (_, others))| free(others)).min_by_key(|(_, (size, _))| *size);
        let slot = match best {
            Some((slot, _)) => slot,
            None => {
                slots.push((bytes, Vec::new()));
                slots.len() - 1
            }
        };
        slots[slot].1.push(t);
        slot_of[t] = slot;
    }
    (slot_of, slots.into_iter().map(|(size, _)| size).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn live_tensors_never_share(raw in prop::collection::vec((1usize..1000, 0usize..40, 0usize..12), 0..60)) {
            let tensors: Vec<Lifetime> = raw.iter().map(|&(bytes, first, len)| Lifetime { bytes, first, last: first + len }).collect();
            let (slot_of, sizes) = assign_slots(&tensors);
            for (a, one) in tensors.iter().enumerate() {
                prop_assert!(one.bytes <= sizes[slot_of[a]]);
                for (b, other) in tensors.iter().enumerate().skip(a + 1) {
                    let apart = one.last < other.first || other.last < one.first;
                    prop_assert!(apart || slot_of[a] != slot_of[b], "{one:?} and {other:?} share slot {}", slot_of[a]);
                }
            }
            // Never more slots than tensors alive at once at the worst step could need one by one.
            prop_assert!(sizes.len() <= tensors.len());
        }
    }

    #[test]
    fn a_chain_needs_two_slots() {
        let chain: Vec<Lifetime> = (0..10).map(|at| Lifetime { bytes: 100 + at, first: at, last: at + 1 }).collect();
        assert_eq!(assign_slots(&chain).1.len(), 2);
    }
}
