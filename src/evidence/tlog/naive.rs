//! RFC 6962, section 2.1, implemented literally and slowly: the reference for tests.

use super::tree::{empty_root, leaf_hash, node_hash};
use crate::evidence::chain::bytes::Hash;

/// Leaf hashes of made-up entries.
pub fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(format!("log {n} of the felling area").as_bytes())).collect()
}

fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// `MTH(D[n])`.
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// `PATH(m, D[n])`.
pub fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    if index < k {
        [path(index, left), vec![root(right)]].concat()
    } else {
        [path(index - k, right), vec![root(left)]].concat()
    }
}

/// `PROOF(m, D[n])` of RFC 6962; empty if the older tree is empty.
pub fn proof(old: usize, leaves: &[Hash]) -> Vec<Hash> {
    if old == 0 { Vec::new() } else { subproof(old, leaves, true) }
}

fn subproof(old: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if known { Vec::new() } else { vec![root(leaves)] };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    if old <= k {
        [subproof(old, left, known), vec![root(right)]].concat()
    } else {
        [subproof(old - k, right, false), vec![root(left)]].concat()
    }
}
