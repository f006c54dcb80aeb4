//! A map of some dozens of entries.

/// A map as a list, in the order of insertion: for pipelines, packed constants and the like, of which there are some dozens.
///
/// Looking through so few takes no longer than hashing a key, and the browser package has no other use for `HashMap`.
#[derive(Debug, Clone)]
pub struct SmallMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> SmallMap<K, V> {
    /// An empty map.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K: PartialEq, V> SmallMap<K, V> {
    /// The value of this key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    /// Sets the value of this key.
    pub fn insert(&mut self, key: K, value: V) {
        match self.entries.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value,
            None => self.entries.push((key, value)),
        }
    }
}

impl<K: PartialEq + Clone, V> SmallMap<K, V> {
    /// The value of this key, made if there is none.
    pub fn get_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> &V {
        let at = self.entries.iter().position(|(k, _)| k == key).unwrap_or_else(|| {
            self.entries.push((key.clone(), make()));
            self.entries.len() - 1
        });
        &self.entries[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_value() {
        let mut map = SmallMap::new();
        map.insert("a", 1);
        assert_eq!(*map.get_or_insert_with(&"a", || unreachable!()), 1);
        assert_eq!(*map.get_or_insert_with(&"b", || 2), 2);
        map.insert("a", 3);
        assert_eq!((map.get(&"a"), map.get(&"b"), map.get(&"c")), (Some(&3), Some(&2), None));
    }
}
