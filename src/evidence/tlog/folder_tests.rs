use super::super::disk::Call;
use super::super::note::{Kind, Signer};
use super::super::tile::Builder;
use super::super::{Checkpoint, leaf_hash};
use super::*;
use chrono::DateTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn entry(number: u64) -> [u8; ENTRY_LEN] {
    let mut entry = [1; ENTRY_LEN];
    entry[33..41].copy_from_slice(&number.to_be_bytes());
    entry
}

fn grow(builder: &mut Builder, count: u64) -> Vec<(Tile, Vec<u8>)> {
    let mut tiles = Vec::new();
    for _ in 0..count {
        builder.push(&entry(builder.size()), |tile, bytes| tiles.push((tile, bytes)));
    }
    tiles.extend(builder.unfilled());
    tiles
}

fn signed(size: u64, root: crate::evidence::chain::Hash) -> Note {
    let register = Signer::from_seed("register.example/timber", Kind::Text, &[1; 32]).unwrap();
    let text = Checkpoint::new("register.example/timber", size, root).unwrap().to_string();
    Note::sign(text, &[&register], DateTime::UNIX_EPOCH).unwrap()
}

#[test]
fn what_is_written_is_read_again() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::new(temp.path().join("register"));
    assert_eq!(folder.published().unwrap(), None);
    let mut builder = Builder::new();
    folder.write_tiles(grow(&mut builder, 200)).unwrap();
    let early = builder.root();
    folder.write_tiles(grow(&mut builder, 400)).unwrap();
    let mut tree = folder.tree(600);
    assert_eq!(tree.root().unwrap(), builder.root());
    assert_eq!(tree.inclusion(17).unwrap().len(), 10);
    assert_eq!(folder.entry(599, 600).unwrap(), entry(599));
    assert_eq!(folder.entry(600, 600).unwrap_err().kind(), io::ErrorKind::NotFound);
    // The old name of a partial tile still works: it returns the beginning of the full tile.
    let full = Tile::parse("tile/0/000").unwrap();
    let short = Tile::parse("tile/0/000.p/200").unwrap();
    let before = folder.tile(&short).unwrap();
    folder.remove_partials(&[full, full]).unwrap();
    assert!(!folder.root().join(short.to_string()).exists());
    assert_eq!(folder.tile(&short).unwrap(), before);
    assert_eq!(folder.tree(200).root().unwrap(), early);
    std::fs::write(folder.root().join("tile/0/000"), [7; 31]).unwrap();
    assert_eq!(folder.tile(&full).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(folder.tile(&short).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn only_what_is_expected_is_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::new(temp.path());
    let (a, b) = (signed(1, leaf_hash(b"a")), signed(2, leaf_hash(b"b")));
    folder.swap_signed(None, &a).unwrap();
    assert!(matches!(folder.swap_signed(None, &b), Err(SwapError::Changed)));
    folder.swap_signed(Some(a.to_string().as_bytes()), &b).unwrap();
    assert!(matches!(folder.swap_signed(Some(a.to_string().as_bytes()), &b), Err(SwapError::Changed)));
    assert_eq!(folder.signed().unwrap(), Some(b.to_string().into_bytes()));
    assert_eq!(folder.published().unwrap(), None);
}

/// Runs the write once for each file-system call N; in run N, call N and all later calls fail. After each
/// run, the last signed checkpoint is the old one or the new one, and its complete tree can be read.
#[test]
fn a_crash_at_any_call_leaves_old_or_new() {
    let mut survived = 0;
    for dies_at in 0.. {
        let temp = tempfile::tempdir().unwrap();
        let healthy = Folder::new(temp.path());
        let mut builder = Builder::new();
        healthy.write_tiles(grow(&mut builder, 250)).unwrap();
        let old = signed(250, builder.root());
        healthy.swap_signed(None, &old).unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let dying = Folder::on(
            temp.path(),
            Disk::gated(move |call, _| {
                let n = counted.fetch_add(1, Ordering::SeqCst);
                if n >= dies_at { Err(io::Error::other(format!("died at {call:?}"))) } else { Ok(()) }
            }),
        );
        let mut next = builder.clone();
        let tiles = grow(&mut next, 300);
        let new = signed(550, next.root());
        let done = dying.write_tiles(tiles).and_then(|()| {
            dying.swap_signed(Some(old.to_string().as_bytes()), &new).map_err(io::Error::other)
        });
        let stored = healthy.signed().unwrap().unwrap();
        let (note, size, root) = if stored == new.to_string().into_bytes() {
            (&new, 550, next.root())
        } else {
            (&old, 250, builder.root())
        };
        assert_eq!(stored, note.to_string().into_bytes(), "call {dies_at}");
        assert_eq!(healthy.tree(size).root().unwrap(), root, "call {dies_at}");
        if done.is_ok() {
            assert_eq!(size, 550);
            break;
        }
        survived += 1;
    }
    assert!(survived > 40, "{survived} calls were tried");
}

#[test]
fn every_kind_of_call_passes_the_gate() {
    let temp = tempfile::tempdir().unwrap();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let recorded = Arc::clone(&seen);
    let folder = Folder::on(
        temp.path().join("register"),
        Disk::gated(move |call, _| {
            recorded.lock().unwrap().push(call);
            Ok(())
        }),
    );
    folder.publish_keys(b"{}".to_vec()).unwrap();
    folder.remove_partials(&[Tile::parse("tile/0/000").unwrap()]).unwrap();
    use Call::{Create, MakeDir, Remove, Rename, Sync, SyncDir, Write};
    assert_eq!(*seen.lock().unwrap(), [MakeDir, Create, Write, Sync, Rename, SyncDir, SyncDir, Remove]);
    assert_eq!(folder.keys().unwrap(), Some(b"{}".to_vec()));
}

/// Writes a secret once for each file-system call N; in run N, call N and all later calls fail. After each
/// run, there is either no key file, or a complete one that no other key replaces.
#[test]
fn a_secret_that_is_cut_off_is_none_or_whole() {
    use Call::{Create, Link, MakeDir, Remove, Sync, SyncDir, Write};
    let order = [MakeDir, SyncDir, Create, Write, Sync, Link, Remove, SyncDir];
    for dies_at in 0..=order.len() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("keys/register.key");
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let disk = Disk::gated(move |call, _| {
            let n = counted.fetch_add(1, Ordering::SeqCst);
            assert!(n > dies_at || order.get(n) == Some(&call), "call {n} is {call:?}");
            if n < dies_at { Ok(()) } else { Err(io::Error::other(format!("died at {call:?}"))) }
        });
        let done = disk.put_secret(&path, b"PRIVATE+KEY+timber.example\n");
        assert_eq!(done.is_ok(), dies_at == order.len(), "call {dies_at}: {done:?}");
        let linked = order[..dies_at].contains(&Link);
        assert_eq!(path.exists(), linked, "call {dies_at}");
        let again = Disk::system().put_secret(&path, b"PRIVATE+KEY+another.example\n");
        let stored = std::fs::read(&path).unwrap();
        if linked {
            assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists, "call {dies_at}");
            assert_eq!(stored, b"PRIVATE+KEY+timber.example\n", "call {dies_at}");
        } else {
            again.unwrap();
            assert_eq!(stored, b"PRIVATE+KEY+another.example\n", "call {dies_at}");
        }
        assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap()) & 0o777, 0o600);
    }
}
