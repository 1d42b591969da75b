//! Values that are the same in every response: built once, with their JSON.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

/// A value with its serialised JSON, for use in many responses. Clones share both.
#[derive(Debug)]
pub struct CachedJson<T>(Arc<Written<T>>);

#[derive(Debug)]
struct Written<T> {
    value: T,
    json: Box<RawValue>,
}

impl<T: Serialize> From<T> for CachedJson<T> {
    /// # Panics
    /// If the value cannot be JSON: a map with keys that are not strings.
    fn from(value: T) -> Self {
        let json = serde_json::value::to_raw_value(&value).expect("the value serialises to JSON");
        Self(Arc::new(Written { value, json }))
    }
}

impl<T> Clone for CachedJson<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for CachedJson<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: PartialEq> PartialEq for CachedJson<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.value == other.0.value
    }
}

impl<T: Eq> Eq for CachedJson<T> {}

impl<T> Serialize for CachedJson<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.json.serialize(serializer)
    }
}

/// A cache of values by key. It has no size limit: the keys are a small fixed set that the program
/// knows.
pub(super) struct JsonCache<K, T>(RwLock<BTreeMap<K, CachedJson<T>>>);

impl<K: Ord, T: Serialize> JsonCache<K, T> {
    pub(super) const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    /// The value for `key`; `make` builds it the first time.
    pub(super) fn get(&self, key: K, make: impl FnOnce(&K) -> T) -> CachedJson<T> {
        // A poisoned lock is harmless: an entry is inserted completely or not at all.
        if let Some(cached) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return cached.clone();
        }
        let cached = CachedJson::from(make(&key));
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(cached).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_made_once_and_written_as_it_is() {
        #[derive(Debug, PartialEq, Serialize)]
        struct Forestry {
            name: String,
        }
        static NAMES: JsonCache<u8, Forestry> = JsonCache::new();
        let name = |n: u8| NAMES.get(n, |n| Forestry { name: format!("«Бөкебай» {n}") });
        assert_eq!(name(1).name, "«Бөкебай» 1");
        assert_eq!(NAMES.get(1, |_| unreachable!()), name(1));
        assert_ne!(name(2), name(1));
        assert_eq!(
            serde_json::to_string(&[name(1), name(2)]).unwrap(),
            r#"[{"name":"«Бөкебай» 1"},{"name":"«Бөкебай» 2"}]"#
        );
    }
}
