use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use p2pnet_engine::{ContentHasher, FolderEntry, FolderIndex};

use super::*;

fn store() -> DiskStore {
    DiskStore::temporary(None).unwrap()
}

/// Bytes that differ from block to block.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

fn block(content: ContentId, index: u32) -> BlockRef {
    BlockRef { content, index }
}

async fn send_all(from: &DiskStore, to: &DiskStore, content: ContentId) {
    for index in (0..content.block_count()).rev() {
        let data = from.read(block(content, index)).await.unwrap();
        to.write(block(content, index), data).await.unwrap();
    }
}

/// The whole way: a file is hashed, read in blocks, written elsewhere, and is the same under its name.
#[tokio::test]
async fn a_file_goes_from_one_store_to_another() {
    let (from, to) = (store(), store());
    for length in [0, 1, BLOCK_SIZE, 2 * BLOCK_SIZE + 77] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data.bin");
        let data = bytes(length);
        fs::write(&path, &data).unwrap();
        let (manifest, _list) = from.publish(Source::File(path)).await.unwrap();
        assert_eq!(manifest.name, "data.bin");
        assert_eq!(manifest.content.hash, *blake3::hash(&data).as_bytes());
        to.open(manifest.clone()).await.unwrap();
        send_all(&from, &to, manifest.content).await;
        let received = to.finish(manifest.content).await.unwrap();
        assert_eq!(received.parent().unwrap(), fs::canonicalize(to.inbox()).unwrap());
        assert_eq!(fs::read(&received).unwrap(), data, "{length} bytes");
    }
}

/// Bytes in memory are published like a file.
#[tokio::test]
async fn bytes_in_memory_are_served() {
    let store = store();
    let data = bytes(BLOCK_SIZE + 5);
    let (manifest, _) = store.publish(Source::Bytes { name: "x".into(), bytes: data.clone() }).await.unwrap();
    assert_eq!(store.read(block(manifest.content, 1)).await.unwrap(), &data[BLOCK_SIZE..]);
    assert!(store.read(block(manifest.content, 2)).await.is_err());
    assert!(store.read(block(manifest.content, u32::MAX)).await.is_err());
    store.withdraw(manifest.content).await;
    assert!(store.read(block(manifest.content, 0)).await.is_err());
}

/// A peer gets an error, not blocks that it must take for forged.
#[tokio::test]
async fn a_file_that_changed_is_no_longer_served() {
    let store = store();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "one").unwrap();
    let (manifest, _) = store.publish(Source::File(file.path().to_owned())).await.unwrap();
    assert_eq!(store.read(block(manifest.content, 0)).await.unwrap(), b"one");
    let later = file.as_file().metadata().unwrap().modified().unwrap() + Duration::from_secs(1);
    fs::write(file.path(), "two").unwrap();
    file.as_file().set_modified(later).unwrap();
    assert_eq!(store.read(block(manifest.content, 0)).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    fs::write(file.path(), "shorter".repeat(2)).unwrap();
    assert!(store.read(block(manifest.content, 0)).await.is_err());
}

/// What has no bytes, or would block for ever, is refused with the reason.
#[tokio::test]
async fn only_regular_files_can_be_published() {
    let store = store();
    let dir = tempfile::tempdir().unwrap();
    let error = store.publish(Source::File(dir.path().to_owned())).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    let error = store.publish(Source::File(dir.path().join("missing"))).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    #[cfg(unix)]
    assert!(store.publish(Source::File("/dev/zero".into())).await.is_err());
}

/// Giving up removes the partial file; blocks that were under way are refused.
#[tokio::test]
async fn abandoned_content_leaves_nothing() {
    let store = store();
    let (manifest, _) = content(b"hello");
    store.open(manifest.clone()).await.unwrap();
    store.write(block(manifest.content, 0), b"hello".to_vec()).await.unwrap();
    assert_eq!(fs::read_dir(store.inbox()).unwrap().count(), 1);
    store.abandon(manifest.content).await;
    assert_eq!(fs::read_dir(store.inbox()).unwrap().count(), 0);
    assert_eq!(store.write(block(manifest.content, 0), b"hello".to_vec()).await, Err(StoreFailure::Io));
    assert_eq!(store.finish(manifest.content).await, Err(StoreFailure::Io));
}

/// Opening again (another source after a failure) starts afresh with the same file.
#[tokio::test]
async fn content_can_be_opened_again() {
    let store = store();
    let (manifest, _) = content(b"hello");
    store.open(manifest.clone()).await.unwrap();
    store.write(block(manifest.content, 0), b"HELLO".to_vec()).await.unwrap();
    store.open(manifest.clone()).await.unwrap();
    assert_eq!(fs::read_dir(store.inbox()).unwrap().count(), 1);
    assert_eq!(store.finish(manifest.content).await, Err(StoreFailure::Io), "nothing was written yet");
}

/// Ctrl-C in the middle: the program drops its store.
#[tokio::test]
async fn a_dropped_store_takes_unfinished_files_with_it() {
    let inbox = tempfile::tempdir().unwrap();
    let store = DiskStore::temporary(Some(inbox.path().to_owned())).unwrap();
    let (manifest, _) = content(b"hello");
    store.open(manifest.clone()).await.unwrap();
    store.write(block(manifest.content, 0), b"hello".to_vec()).await.unwrap();
    drop(store);
    assert_eq!(fs::read_dir(inbox.path()).unwrap().count(), 0);
}

/// A full disk is told apart from a broken one: it can be helped.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_reported_as_full() {
    use std::io::Write;
    let mut full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(failure(&full.write_all(b"x").unwrap_err()), StoreFailure::Full);
    assert_eq!(failure(&io::ErrorKind::PermissionDenied.into()), StoreFailure::Io);
}

/// Each start has a larger incarnation than all before, also when the engine had to jump.
#[tokio::test]
async fn every_start_has_a_larger_incarnation() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path(), None).unwrap();
    assert_eq!(store.next_incarnation().await.unwrap(), 1);
    store.save_incarnation(40).await.unwrap();
    store.save_incarnation(7).await.unwrap();
    drop(store);
    assert_eq!(DiskStore::open(dir.path(), None).unwrap().next_incarnation().await.unwrap(), 41);
}

/// The directory is taken as long as any clone lives, and free right after.
#[tokio::test]
async fn a_directory_has_one_store_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path(), None).unwrap();
    let clone = store.clone();
    drop(store);
    let error = DiskStore::open(dir.path(), None).unwrap_err();
    assert!(error.to_string().contains("--data-dir"), "{error}");
    drop(clone);
    DiskStore::open(dir.path(), None).unwrap();
}

/// Whoever only wants to know the identity need not wait for the node that uses it.
#[tokio::test]
async fn the_identity_can_be_read_while_the_directory_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(DiskStore::stored_identity(dir.path()).unwrap(), None);
    let store = DiskStore::open(dir.path(), None).unwrap();
    store.identity_seed([5; 32]).await.unwrap();
    assert_eq!(DiskStore::stored_identity(dir.path()).unwrap(), Some([5; 32]));
}

/// A temporary identity is another each time, and leaves nothing.
#[tokio::test]
async fn a_temporary_store_is_gone_when_dropped() {
    let store = store();
    assert!(store.is_temporary());
    assert_eq!(store.identity_seed([5; 32]).await.unwrap(), [5; 32]);
    assert_eq!(store.identity_seed([6; 32]).await.unwrap(), [5; 32]);
    let (manifest, _) = content(b"hello");
    store.open(manifest).await.unwrap();
    let inbox = store.inbox().to_owned();
    assert!(inbox.exists());
    drop(store);
    assert!(!inbox.parent().unwrap().exists());
}

fn content(bytes: &[u8]) -> (Manifest, BlockList) {
    let mut hasher = ContentHasher::new();
    hasher.update(bytes);
    let (content, list) = hasher.finish().unwrap();
    (Manifest { content, name: "hello.txt".into(), kind: p2pnet_engine::ContentKind::File }, list)
}

/// What is in a folder: paths, and bytes of files.
fn tree(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inside) = folders.pop() {
        for item in fs::read_dir(inside).unwrap() {
            let path = item.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                found.insert(name, None);
                folders.push(path);
            } else {
                found.insert(name, Some(fs::read(&path).unwrap()));
            }
        }
    }
    found
}

/// Writes what a folder is to have in it.
fn plant(folder: &Path, files: &[(&str, Option<Vec<u8>>)]) {
    for (path, file) in files {
        let path = folder.join(path);
        match file {
            None => fs::create_dir_all(path).unwrap(),
            Some(bytes) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
    }
}

/// Files of no bytes, of a few, over the edges of blocks and of several blocks; empty folders; names that are hidden.
#[tokio::test]
async fn a_folder_goes_from_one_store_to_another() {
    let (from, to, dir) = (store(), store(), tempfile::tempdir().unwrap());
    let folder = dir.path().join("photos");
    plant(
        &folder,
        &[
            ("a/none", Some(Vec::new())),
            ("a/one block", Some(bytes(BLOCK_SIZE))),
            ("a.txt", Some(b"hello".to_vec())),
            (".hidden/.gitignore", Some(b"target".to_vec())),
            ("deep/er/and/deeper", Some(bytes(2 * BLOCK_SIZE + 77))),
            ("z/empty", None),
        ],
    );
    let (manifest, list) = from.publish(Source::at(&folder)).await.unwrap();
    assert_eq!((manifest.name.as_str(), manifest.kind), ("photos", ContentKind::Folder));
    assert!(list.proves(&manifest.content));
    for number in 1..=2 {
        to.open(manifest.clone()).await.unwrap();
        send_all(&from, &to, manifest.content).await;
        let received = to.finish(manifest.content).await.unwrap();
        assert_eq!(tree(&received), tree(&folder));
        // Who has it can give it to others.
        assert!(to.read(block(manifest.content, 1)).await.is_ok());
        to.close(manifest.content).await;
        assert_eq!(fs::read_dir(to.inbox()).unwrap().count(), number, "nothing else is left: {received:?}");
    }
    assert!(to.inbox().join("photos (2)").is_dir());
    let again = from.publish(Source::Folder(folder.join("a").join(".."))).await.unwrap();
    assert_eq!(again.0, manifest, "a folder has one hash, however it is called");
}

#[tokio::test]
async fn an_empty_folder_is_a_folder() {
    let (from, to, dir) = (store(), store(), tempfile::tempdir().unwrap());
    let (manifest, _) = from.publish(Source::Folder(dir.path().to_owned())).await.unwrap();
    to.open(manifest.clone()).await.unwrap();
    send_all(&from, &to, manifest.content).await;
    let received = to.finish(manifest.content).await.unwrap();
    assert!(received.is_dir() && tree(&received).is_empty());
}

/// What is no file cannot be sent, and what is sent must be what was there: the message names it.
#[cfg(unix)]
#[tokio::test]
async fn a_folder_with_links_pipes_or_changes_is_refused_by_name() {
    let (store, dir) = (store(), tempfile::tempdir().unwrap());
    let refused = async |name: &str| {
        let error = store.publish(Source::Folder(dir.path().to_owned())).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        error.to_string()
    };
    fs::create_dir(dir.path().join("in")).unwrap();
    let link = dir.path().join("in/link");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    assert!(refused("in/link").await.contains("symbolic link"));
    fs::remove_file(&link).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(dir.path().join("in/socket")).unwrap();
    assert!(refused("in/socket").await.contains("neither a file nor a folder"));
    drop(socket);
    fs::remove_file(dir.path().join("in/socket")).unwrap();
    let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
    fs::write(dir.path().join(odd), "x").unwrap();
    assert!(refused("no text").await.contains("rename it"));
    fs::remove_file(dir.path().join(odd)).unwrap();

    fs::write(dir.path().join("in/file"), "one").unwrap();
    let (manifest, _) = store.publish(Source::Folder(dir.path().to_owned())).await.unwrap();
    assert!(store.read(block(manifest.content, 0)).await.is_ok());
    fs::write(dir.path().join("in/file"), "other").unwrap();
    let error = store.read(block(manifest.content, 0)).await.unwrap_err();
    assert!(error.to_string().contains("\"in/file\" was changed"), "{error}");
}

/// A content that is called a folder.
fn called_folder(data: &[u8]) -> Manifest {
    let (manifest, _) = content(data);
    Manifest { name: "folder".into(), kind: ContentKind::Folder, ..manifest }
}

/// What is called a folder and is none leaves nothing.
#[tokio::test]
async fn what_is_no_folder_is_refused() {
    let store = store();
    for data in [&b""[..], b"short", b"longer than the head of an index"] {
        let manifest = called_folder(data);
        store.open(manifest.clone()).await.unwrap();
        if !data.is_empty() {
            store.write(block(manifest.content, 0), data.to_vec()).await.unwrap();
        }
        assert_eq!(store.finish(manifest.content).await, Err(StoreFailure::Malformed));
        store.abandon(manifest.content).await;
        assert_eq!(fs::read_dir(store.inbox()).unwrap().count(), 0);
    }
}

/// Names of a publisher who means harm stay inside the folder; two that become one are numbered, folders as well.
#[tokio::test]
async fn names_in_a_folder_are_made_safe_and_stay_apart() {
    let store = store();
    let file = |path: &str| FolderEntry { path: path.into(), size: Some(path.len() as u64) };
    let paths = ["..\\..\\x", "CON", "a\u{202e}", "a", "b./c", "b/c", "b\u{200b}/c", " / ", "...", "n.", "n"];
    let index = FolderIndex::new(paths.iter().map(|path| file(path)).collect()).unwrap();
    let mut data = index.encode();
    index.entries().iter().for_each(|entry| data.extend(entry.path.as_bytes()));
    let manifest = called_folder(&data);
    store.open(manifest.clone()).await.unwrap();
    store.write(block(manifest.content, 0), data).await.unwrap();
    let received = store.finish(manifest.content).await.unwrap();
    let found = tree(&received);
    let mut names: Vec<&str> = found.keys().map(String::as_str).collect();
    names.sort_unstable();
    let mut expected = [
        ".._.._x",
        "_CON",
        "a",
        "a (2)",
        "b",
        "b (2)",
        "b (3)",
        "b (2)/c",
        "b (3)/c",
        "b/c",
        "n",
        "n (2)",
        "unnamed",
        "unnamed (2)",
        "unnamed/unnamed",
    ];
    expected.sort_unstable();
    assert_eq!(names, expected);
    // Nothing took the bytes of another.
    let mut bytes: Vec<Vec<u8>> = found.into_values().flatten().collect();
    let mut paths = paths.map(|path| path.as_bytes().to_vec());
    bytes.sort();
    paths.sort();
    assert_eq!(bytes, paths);
}

/// A crash while a folder was unpacked leaves nothing under its name; the next run goes on with the blocks that it has.
#[tokio::test]
async fn what_was_being_unpacked_is_begun_anew() {
    let (from, dir, inbox) = (store(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    plant(dir.path(), &[("a", Some(bytes(BLOCK_SIZE))), ("b", Some(b"b".to_vec()))]);
    let (manifest, list) = from.publish(Source::Folder(dir.path().to_owned())).await.unwrap();
    {
        let first = DiskStore::temporary(Some(inbox.path().to_owned())).unwrap();
        first.open(manifest.clone()).await.unwrap();
        first.keep_list(manifest.content, list).await;
        send_all(&from, &first, manifest.content).await;
    }
    let staging = fs::read_dir(inbox.path()).unwrap().map(|item| item.unwrap().path());
    let staging = staging.last().unwrap().with_extension("folder");
    plant(&staging, &[("a", Some(b"torn".to_vec())), ("of/another/time", None)]);
    let second = DiskStore::temporary(Some(inbox.path().to_owned())).unwrap();
    let leftovers = second.open(manifest.clone()).await.unwrap();
    assert_eq!(leftovers.blocks.len(), 2);
    let received = second.finish(manifest.content).await.unwrap();
    assert_eq!(tree(&received), tree(dir.path()));
    second.close(manifest.content).await;
    assert_eq!(fs::read_dir(inbox.path()).unwrap().count(), 1);
}

/// What a folder of small files costs on this disk, durability included. `cargo test --release -p p2pnet --lib
/// small_files -- --ignored --nocapture` prints it.
#[tokio::test]
#[ignore = "prints figures"]
async fn figures_of_small_files() {
    for files in [1_000u32, 10_000] {
        let (place, from, to) = (tempfile::tempdir().unwrap(), store(), store());
        let root = place.path().join("folder");
        for number in 0..files {
            let folder = root.join(format!("{:03}", number / 100));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("{number:05}")), number.to_le_bytes().repeat(1024)).unwrap();
        }
        let began = tokio::time::Instant::now();
        let (manifest, _) = from.publish(Source::Folder(root)).await.unwrap();
        let published = began.elapsed().as_secs_f64();
        let began = tokio::time::Instant::now();
        to.open(manifest.clone()).await.unwrap();
        send_all(&from, &to, manifest.content).await;
        let copied = began.elapsed().as_secs_f64();
        to.finish(manifest.content).await.unwrap();
        let all = began.elapsed().as_secs_f64();
        let rate = |seconds: f64| f64::from(files) / seconds;
        println!(
            "{files} files: published {:.0}/s; read and written {:.0}/s, unpacked and durable {:.0}/s, both {:.0}/s",
            rate(published),
            rate(copied),
            rate(all - copied),
            rate(all)
        );
    }
}
