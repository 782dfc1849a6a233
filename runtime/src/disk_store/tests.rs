use std::fs;
use std::time::Duration;

use p2pnet_engine::ContentHasher;

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
