use super::*;
use crate::evidence::tlog::disk::{Call, Disk};
use crate::evidence::tlog::leaf_hash;
use crate::evidence::tlog::tree::{is_consistent, root_of};
use chrono::DateTime;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

const ORIGIN: &str = "register.example/timber";

fn entry(number: u64) -> [u8; ENTRY_LEN] {
    let mut entry = [1; ENTRY_LEN];
    entry[33..41].copy_from_slice(&number.to_be_bytes());
    entry
}

fn entries(from: u64, to: u64) -> Vec<[u8; ENTRY_LEN]> {
    (from..to).map(entry).collect()
}

fn root(size: u64) -> crate::evidence::chain::Hash {
    root_of(&(0..size).map(|n| leaf_hash(&entry(n))).collect::<Vec<_>>())
}

fn key(seed: u8) -> Signer {
    Signer::from_seed(ORIGIN, Kind::Text, &[seed; 32]).unwrap()
}

fn open(folder: Folder, seeds: &[u8]) -> Result<TreeWriter, TreeWriterError> {
    let keys = Keys::new(seeds.iter().map(|seed| key(*seed)).collect()).unwrap();
    TreeWriter::open(folder, Arc::new(keys), Clock::held(DateTime::UNIX_EPOCH))
}

/// One publication: the tree grows to `size` and is published.
fn grow(writer: &mut TreeWriter, size: u64) -> Result<(), TreeWriterError> {
    writer.extend(&entries(writer.size(), size))?;
    let note = writer.note().clone();
    writer.publish(&note)
}

fn published(folder: &Folder) -> Option<Checkpoint> {
    let note = Note::parse(&folder.published().unwrap()?).unwrap();
    Some(Checkpoint::open(&note, &[key(1).verifier().clone()]).unwrap())
}

#[test]
fn it_goes_on_where_it_ended() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::new(temp.path());
    let mut writer = open(folder.clone(), &[1]).unwrap();
    assert_eq!(writer.size(), 0);
    for size in [1, 2, 255, 256, 257, 700] {
        grow(&mut writer, size).unwrap();
        assert_eq!(published(&folder).unwrap().root, root(size));
        writer = open(folder.clone(), &[1]).unwrap();
        assert_eq!((writer.size(), writer.root()), (size, root(size)));
    }
    let remaining: Vec<_> = std::fs::read_dir(temp.path().join("tile/0")).unwrap().collect();
    assert_eq!(remaining.len(), 3, "short tiles that became whole are gone");
}

/// Runs the writer once for each file-system call N, in two ways: call N and all later calls fail (as in a
/// crash), or only call N fails (as on a full disk that is cleared afterwards). After each failure the
/// register can be opened, has a size that was signed, and grows to the same tree.
#[test]
fn every_file_call_may_fail() {
    for once in [false, true] {
        let mut tried = 0;
        for fails_at in 0.. {
            let temp = tempfile::tempdir().unwrap();
            let healthy = Folder::new(temp.path());
            grow(&mut open(healthy.clone(), &[1]).unwrap(), 250).unwrap();
            let count = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&count);
            let disk = Disk::gated(move |call: Call, _: &Path| {
                let n = counted.fetch_add(1, Ordering::SeqCst);
                if n == fails_at || (n > fails_at && !once) {
                    return Err(io::Error::other(format!("{call:?} fails")));
                }
                Ok(())
            });
            let failing = Folder::on(temp.path(), disk);
            let outcome = open(failing.clone(), &[1]).and_then(|mut writer| {
                grow(&mut writer, 300)?;
                grow(&mut writer, 520)
            });
            // After each failure the published checkpoint has the correct root for its size.
            let shown = published(&healthy).unwrap();
            assert_eq!(shown.root, root(shown.size), "call {fails_at}");
            if let Err(error) = &outcome {
                assert!(error.is_passing(), "call {fails_at}: {error}");
            }
            let again = if once && outcome.is_err() { failing } else { healthy.clone() };
            let mut writer = open(again, &[1]).unwrap_or_else(|error| panic!("call {fails_at}: {error}"));
            assert!([250, 300, 520].contains(&writer.size()), "call {fails_at}: {}", writer.size());
            assert!(writer.size() >= shown.size, "call {fails_at}");
            let mut tree = healthy.tree(writer.size());
            let proof = tree.consistency(shown.size).unwrap();
            assert!(is_consistent(shown.size, shown.root, writer.size(), writer.root(), &proof));
            grow(&mut writer, 520).unwrap();
            assert_eq!(published(&healthy).unwrap().root, root(520), "call {fails_at}");
            tried = fails_at;
            if outcome.is_ok() {
                break;
            }
        }
        assert!(tried > 60, "{tried} calls were tried");
    }
}

/// Drafts beyond the last signed checkpoint are not binding: other leaves may replace them.
#[test]
fn drafts_are_written_over() {
    let temp = tempfile::tempdir().unwrap();
    let healthy = Folder::new(temp.path());
    grow(&mut open(healthy.clone(), &[1]).unwrap(), 5).unwrap();
    let no_swap = Disk::gated(|call, path| {
        let signs = path.ends_with("state/.checkpoint.new");
        if call == Call::Create && signs { Err(io::Error::other("cut off")) } else { Ok(()) }
    });
    let mut cut_off = open(Folder::on(temp.path(), no_swap), &[1]).unwrap();
    cut_off.extend(&[entry(77)]).unwrap_err();
    let mut writer = open(healthy.clone(), &[1]).unwrap();
    grow(&mut writer, 6).unwrap();
    assert_eq!(healthy.tree(6).root().unwrap(), root(6));
    assert_eq!(healthy.entry(5, 6).unwrap(), entry(5));
}

#[test]
fn keys_change_with_an_overlap() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::new(temp.path());
    grow(&mut open(folder.clone(), &[1]).unwrap(), 3).unwrap();
    let old = folder.published().unwrap();
    // The old key is left out before both keys have signed. Then no given key verifies the last checkpoint.
    let refused = open(folder.clone(), &[2]).unwrap_err();
    assert!(refused.to_string().contains("give the old key too"), "{refused}");
    // Both keys sign the last checkpoint again, although there are no new leaves.
    let both = open(folder.clone(), &[1, 2]).unwrap();
    let keys = [key(1).verifier().clone(), key(2).verifier().clone()];
    assert_eq!(both.note().verify(&keys).unwrap().len(), 2);
    drop(both);
    let mut new = open(folder.clone(), &[2]).unwrap();
    grow(&mut new, 9).unwrap();
    let note = Note::parse(&folder.published().unwrap().unwrap()).unwrap();
    assert_eq!(note.verify(&keys[1..]).unwrap().len(), 1);
    assert_eq!(note.verify(&keys[..1]), Err(NoteError::Unsigned));
    // Checkpoints signed by the old key remain valid.
    let old = Note::parse(&old.unwrap()).unwrap();
    let before = Checkpoint::open(&old, &keys[..1]).unwrap();
    let proof = folder.tree(9).consistency(before.size).unwrap();
    assert!(is_consistent(before.size, before.root, 9, new.root(), &proof));
}

#[test]
fn keys_of_two_names_do_not_sign_together() {
    let other = Signer::from_seed("other.example", Kind::Text, &[3; 32]).unwrap();
    let witness = Signer::from_seed(ORIGIN, Kind::Cosignature, &[3; 32]).unwrap();
    for keys in [vec![], vec![key(1), other], vec![key(1), witness]] {
        assert!(matches!(Keys::new(keys), Err(TreeWriterError::Keys(_))));
    }
}

#[test]
fn a_folder_that_is_not_whole_is_refused() {
    let damage = |what: &dyn Fn(&Path)| {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::new(temp.path());
        grow(&mut open(folder.clone(), &[1]).unwrap(), 300).unwrap();
        what(temp.path());
        let refused = open(folder, &[1]).unwrap_err();
        assert!(!refused.is_passing(), "{refused}");
        refused.to_string()
    };
    let forgotten = damage(&|dir| std::fs::remove_file(dir.join("state/checkpoint")).unwrap());
    assert!(forgotten.contains("a second history"), "{forgotten}");
    let gone = damage(&|dir| std::fs::remove_file(dir.join("tile/0/001.p/44")).unwrap());
    assert!(gone.contains("tile/0/001.p/44"), "{gone}");
    let other = damage(&|dir| {
        let tile = dir.join("tile/1/000.p/1");
        let mut bytes = std::fs::read(&tile).unwrap();
        bytes[5] ^= 1;
        std::fs::write(tile, bytes).unwrap();
    });
    assert!(other.contains("another root than was signed at size 300"), "{other}");
    let text = damage(&|dir| std::fs::write(dir.join("state/checkpoint"), "birch\n").unwrap());
    assert!(text.contains("is damaged"), "{text}");
    // The folder `state` was restored from an older copy, while a newer checkpoint is published.
    let older = damage(&|dir| {
        let early = tempfile::tempdir().unwrap();
        grow(&mut open(Folder::new(early.path()), &[1]).unwrap(), 256).unwrap();
        std::fs::copy(early.path().join("state/checkpoint"), dir.join("state/checkpoint")).unwrap();
    });
    assert!(older.contains("size 300 is published, and 256 was signed last"), "{older}");
}

#[test]
fn who_is_overtaken_stops() {
    let temp = tempfile::tempdir().unwrap();
    let folder = Folder::new(temp.path());
    let (mut one, mut two) = (open(folder.clone(), &[1]).unwrap(), open(folder.clone(), &[1]).unwrap());
    grow(&mut one, 3).unwrap();
    let overtaken = two.extend(&entries(0, 4)).unwrap_err();
    assert!(matches!(overtaken, TreeWriterError::Overtaken(_)) && !overtaken.is_passing(), "{overtaken}");
}
