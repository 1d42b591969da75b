//! The Merkle tree of RFC 6962, section 2.1: hashes, inclusion proofs and consistency proofs.
//!
//! A node is named by its level and its index in that level: node `(l, i)` is the hash over the
//! leaves `i·2^l … (i+1)·2^l - 1`, all of which exist. Proofs are made from such nodes only,
//! wherever these are stored; checking a proof needs no nodes.

use crate::evidence::chain::bytes::Hash;
use sha2::{Digest, Sha256};

/// `H(0x00 || entry)`.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0]).chain_update(entry).finalize().into())
}

/// `H(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of the tree without leaves: the hash of the empty string.
#[must_use]
pub fn empty_root() -> Hash {
    Hash(Sha256::digest([]).into())
}

/// The right edge of a tree: everything needed to append leaves and compute the root. It holds at
/// most 64 hashes, whatever the size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The roots of the complete subtrees from left to right: one for each bit that is set in `size`, the
    /// highest bit first.
    nodes: Vec<Hash>,
}

impl Frontier {
    /// The tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a tree of `size` leaves; `node` fetches its nodes one by one.
    ///
    /// # Errors
    /// The error of `node`.
    pub fn at<E>(size: u64, mut node: impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Self, E> {
        let mut nodes = Vec::new();
        for level in (0..u64::BITS).rev() {
            if size >> level & 1 == 1 {
                // `size >> level` is the number of complete nodes on this level. The node needed here is the
                // last of them.
                nodes.push(node(level, (size >> level) - 1)?);
            }
        }
        Ok(Self { size, nodes })
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_, _| {});
    }

    /// Appends a leaf. Calls `visit` with the level and hash of every node that is then complete, beginning
    /// with the leaf.
    pub fn push_with(&mut self, leaf: Hash, mut visit: impl FnMut(u32, Hash)) {
        let mut node = leaf;
        visit(0, node);
        for level in 1..=self.size.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = node_hash(&left, &node);
                visit(level, node);
            }
        }
        self.nodes.push(node);
        self.size += 1;
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut from_right = self.nodes.iter().rev();
        let Some(last) = from_right.next() else { return empty_root() };
        from_right.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root over these leaf hashes.
#[must_use]
pub fn root_of<'a>(leaves: impl IntoIterator<Item = &'a Hash>) -> Hash {
    let mut edge = Frontier::new();
    for leaf in leaves {
        edge.push(*leaf);
    }
    edge.root()
}

/// Why a proof cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProof<E> {
    /// The tree has no such leaf, or is smaller than the earlier size.
    #[error("a tree of {size} leaves has no place {requested}")]
    OutOfRange {
        /// The requested leaf or earlier size.
        requested: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A node cannot be fetched.
    #[error("{0}")]
    Node(E),
}

/// The proof that leaf `index` is in the tree of `size` leaves: from the leaf's sibling up to the
/// root's child (RFC 6962, section 2.1.1).
///
/// # Errors
/// If `index` is not below `size`, or a node cannot be fetched.
pub fn inclusion<E>(
    index: u64,
    size: u64,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, NoProof<E>> {
    if index >= size {
        return Err(NoProof::OutOfRange { requested: index, size });
    }
    let mut path = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = split(from, to);
        let (inside, sibling) =
            if index < middle { ((from, middle), (middle, to)) } else { ((middle, to), (from, middle)) };
        path.push(range(sibling.0, sibling.1, &mut node).map_err(NoProof::Node)?);
        (from, to) = inside;
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `new` leaves begins with the tree of `old` leaves (RFC 6962, section 2.1.2).
/// Empty if `old` is 0 or equal to `new`.
///
/// # Errors
/// If `old` is larger than `new`, or a node cannot be fetched.
pub fn consistency<E>(
    old: u64,
    new: u64,
    mut node: impl FnMut(u32, u64) -> Result<Hash, E>,
) -> Result<Vec<Hash>, NoProof<E>> {
    if old > new {
        return Err(NoProof::OutOfRange { requested: old, size: new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut path = Vec::new();
    let (mut from, mut to) = (0, new);
    while old != to {
        let middle = split(from, to);
        let sibling = if old <= middle { (middle, to) } else { (from, middle) };
        path.push(range(sibling.0, sibling.1, &mut node).map_err(NoProof::Node)?);
        (from, to) = if old <= middle { (from, middle) } else { (middle, to) };
    }
    // The subtree that both trees share. It is left out if it is the complete old tree, because the verifier
    // knows its root.
    if from != 0 {
        path.push(range(from, to, &mut node).map_err(NoProof::Node)?);
    }
    path.reverse();
    Ok(path)
}

/// Where RFC 6962 splits the leaves `from … to - 1`: after the largest power of two below their number.
fn split(from: u64, to: u64) -> u64 {
    from + (1 << (to - from - 1).ilog2())
}

/// The hash over the leaves `from … to - 1`. The range must be a result of [`split`], so that it consists of
/// complete nodes.
fn range<E>(from: u64, to: u64, node: &mut impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Hash, E> {
    let mut complete = Vec::new();
    let mut from = from;
    while from < to {
        let level = (to - from).ilog2();
        complete.push(node(level, from >> level)?);
        from += 1 << level;
    }
    let mut from_right = complete.iter().rev();
    let last = from_right.next().copied().unwrap_or_else(empty_root);
    Ok(from_right.fold(last, |right, left| node_hash(left, &right)))
}

/// The root that an inclusion proof leads to; `None` if the proof has a wrong length for this index and size.
/// The proof is valid if the result is a trusted root.
#[must_use]
pub fn root_from_inclusion(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut position, mut last, mut hash) = (index, size - 1, leaf);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            // On this many levels the node has no sibling and moves up unchanged.
            let levels = position.trailing_zeros().min(u64::BITS - 1);
            if position & 1 == 0 {
                position >>= levels;
                last >>= levels;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Whether `path` proves that the leaf has this index in the tree with this size and root
/// (RFC 9162, section 2.1.3.2).
#[must_use]
pub fn is_included(leaf: Hash, index: u64, size: u64, root: Hash, path: &[Hash]) -> bool {
    root_from_inclusion(leaf, index, size, path) == Some(root)
}

/// Whether `path` proves that the newer tree begins with the older one (RFC 9162, section
/// 2.1.4.2). Every tree begins with the empty one, and with itself; both proofs are empty.
#[must_use]
pub fn is_consistent(old: u64, old_root: Hash, new: u64, new_root: Hash, path: &[Hash]) -> bool {
    if old == new {
        return path.is_empty() && old_root == new_root && (old != 0 || old_root == empty_root());
    }
    if old == 0 {
        return path.is_empty() && old_root == empty_root();
    }
    if old > new {
        return false;
    }
    // If the older tree is one complete subtree, its root is the first node and the proof omits it.
    let (first, rest) = match path.split_first() {
        _ if old.is_power_of_two() && !path.is_empty() => (old_root, path),
        Some((first, rest)) => (*first, rest),
        None => return false,
    };
    let shared = (old - 1).trailing_ones();
    let (mut position, mut last) = ((old - 1) >> shared, (new - 1) >> shared);
    let (mut from_old, mut from_new) = (first, first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            from_old = node_hash(sibling, &from_old);
            from_new = node_hash(sibling, &from_new);
            if position & 1 == 0 {
                let levels = position.trailing_zeros().min(u64::BITS - 1);
                position >>= levels;
                last >>= levels;
            }
        } else {
            from_new = node_hash(&from_new, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && from_old == old_root && from_new == new_root
}

#[cfg(test)]
mod tests {
    use super::super::naive;
    use super::*;
    use proptest::prelude::*;

    fn nodes(leaves: &[Hash]) -> impl FnMut(u32, u64) -> Result<Hash, String> {
        move |level, index| {
            let index = usize::try_from(index).unwrap();
            let (from, to) = (index << level, (index + 1) << level);
            leaves.get(from..to).map(naive::root).ok_or_else(|| format!("no node {level}/{index}"))
        }
    }

    /// Test vectors of Certificate Transparency's reference code: roots by size, and one proof of each kind.
    #[test]
    fn known_vectors() {
        let inputs = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        assert_eq!(
            empty_root().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let leaves: Vec<Hash> = inputs.iter().map(|hex| leaf_hash(&hex::decode(hex).unwrap())).collect();
        let mut edge = Frontier::new();
        for (leaf, root) in leaves.iter().zip(roots) {
            edge.push(*leaf);
            assert_eq!(edge.root().to_string(), root);
        }
        let path = inclusion(0, 8, nodes(&leaves)).unwrap();
        assert_eq!(
            path.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ]
        );
        let path = consistency(6, 8, nodes(&leaves)).unwrap();
        assert_eq!(
            path.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ]
        );
    }

    #[test]
    fn every_tree_up_to_300_is_the_rfcs() {
        let leaves = naive::leaves(300);
        let mut edge = Frontier::new();
        for size in 1..=leaves.len() {
            edge.push(leaves[size - 1]);
            let (tree, root) = (&leaves[..size], naive::root(&leaves[..size]));
            assert_eq!(edge.root(), root);
            assert_eq!(Frontier::at(size as u64, nodes(tree)).unwrap(), edge);
            // All indexes of small trees are checked; of larger trees, a sample that differs from size to
            // size.
            for index in (0..size).filter(|index| size < 40 || (index + size) % 19 == 0) {
                let path = inclusion(index as u64, size as u64, nodes(tree)).unwrap();
                assert_eq!(path, naive::path(index, tree), "{index} of {size}");
                assert!(is_included(leaves[index], index as u64, size as u64, root, &path));
                let proof = consistency(index as u64, size as u64, nodes(tree)).unwrap();
                assert_eq!(proof, naive::proof(index, tree), "{index} to {size}");
                let old = naive::root(&leaves[..index]);
                assert!(is_consistent(index as u64, old, size as u64, root, &proof), "{index} to {size}");
            }
        }
    }

    #[test]
    fn out_of_range_is_no_proof() {
        let leaves = naive::leaves(5);
        assert_eq!(inclusion(5, 5, nodes(&leaves)), Err(NoProof::OutOfRange { requested: 5, size: 5 }));
        assert_eq!(consistency(6, 5, nodes(&leaves)), Err(NoProof::OutOfRange { requested: 6, size: 5 }));
        assert_eq!(inclusion(0, 9, nodes(&leaves)), Err(NoProof::Node("no node 0/8".into())));
        let root = naive::root(&leaves);
        assert!(!is_included(leaves[4], 5, 5, root, &[]));
        assert!(!is_consistent(6, root, 5, root, &[]));
        assert!(!is_consistent(0, root, 5, root, &[]), "the empty tree has one root");
        assert!(!is_consistent(0, root, 0, root, &[]));
        assert!(is_consistent(0, empty_root(), 0, empty_root(), &[]));
        assert!(!is_consistent(4, naive::root(&leaves[..4]), 5, root, &[]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn larger_trees(size in 301_usize..5000, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
            let leaves = naive::leaves(size);
            let (index, old) = (a.index(size), b.index(size));
            let root = naive::root(&leaves);
            prop_assert_eq!(root_of(&leaves), root);
            let path = inclusion(index as u64, size as u64, nodes(&leaves)).unwrap();
            prop_assert_eq!(&path, &naive::path(index, &leaves));
            prop_assert!(is_included(leaves[index], index as u64, size as u64, root, &path));
            let proof = consistency(old as u64, size as u64, nodes(&leaves)).unwrap();
            prop_assert_eq!(&proof, &naive::proof(old, &leaves));
            prop_assert!(is_consistent(old as u64, naive::root(&leaves[..old]), size as u64, root, &proof));
        }

        /// Any one change to a valid proof, or to the values it is checked against, makes it invalid.
        #[test]
        fn a_changed_proof_proves_nothing(
            size in 2_usize..600,
            position in any::<prop::sample::Index>(),
            node in any::<prop::sample::Index>(),
            bit in 0_usize..256,
            change in 0_u8..6,
        ) {
            let leaves = naive::leaves(size);
            let (index, old) = (position.index(size), position.index(size - 1) + 1);
            let (root, old_root) = (naive::root(&leaves), naive::root(&leaves[..old]));
            let flip = |hash: &mut Hash| hash.0[bit / 8] ^= 1 << (bit % 8);
            let spoil = |path: &mut Vec<Hash>| match change {
                0 if !path.is_empty() => {
                    let at = node.index(path.len());
                    flip(&mut path[at]);
                }
                1 => path.push(leaves[0]),
                2 => path.insert(0, leaves[0]),
                3 if !path.is_empty() => { path.pop(); }
                4 if !path.is_empty() => { path.remove(0); }
                _ => path.push(Hash::ZERO),
            };
            let mut path = naive::path(index, &leaves);
            prop_assert!(!is_included(leaves[index], (index as u64 + 1) % size as u64, size as u64, root, &path));
            let mut other = root;
            flip(&mut other);
            prop_assert!(!is_included(leaves[index], index as u64, size as u64, other, &path));
            spoil(&mut path);
            prop_assert!(!is_included(leaves[index], index as u64, size as u64, root, &path));
            let mut proof = naive::proof(old, &leaves);
            prop_assert!(!is_consistent(old as u64, old_root, size as u64, other, &proof));
            let mut other_old = old_root;
            flip(&mut other_old);
            prop_assert!(!is_consistent(old as u64, other_old, size as u64, root, &proof));
            spoil(&mut proof);
            prop_assert!(!is_consistent(old as u64, old_root, size as u64, root, &proof));
        }

        /// Arbitrary input never makes a check panic.
        #[test]
        fn checking_never_panics(
            index in any::<u64>(), size in any::<u64>(),
            path in prop::collection::vec(any::<[u8; 32]>().prop_map(Hash), 0..70),
        ) {
            prop_assert!(!is_included(Hash::ZERO, index, size, Hash::ZERO, &path));
            prop_assert!(!is_consistent(index, Hash::ZERO, size, Hash([1; 32]), &path));
        }
    }
}
